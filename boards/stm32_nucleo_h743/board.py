# A Nucleo-H743ZI2 with a charge controller board on its headers. All hardware is named in the profile: see [pins].
from stm32_charger import make  # noqa: F401

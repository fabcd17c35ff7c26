# An ESP32-C3 on a charge controller board. All hardware is named in the profile: see [pins].
from esp32_charger import make  # noqa: F401

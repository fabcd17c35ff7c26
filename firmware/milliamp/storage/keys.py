# Settings that are not device model variables. A variable's key is its id * 16 + EVSE, below 0x8000.
# Numbers are for ever: a newer firmware reads what an older one wrote.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

_BOOT_REASON = const(0x8000)  # text: the reason that the next BootNotification gives
_CSMS_URL = const(0x8001)  # text: without the identity
_IDENTITY = const(0x8002)  # text
_PASSWORD = const(0x8003)  # text: basic auth; never logged, never reported
_OPERATIVE = const(0x8100)  # + EVSE * 16 + connector (0, 0: the station): 0 when Inoperative

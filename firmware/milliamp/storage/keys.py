# Settings that are not device model variables. A variable's key is its id * 16 + EVSE, below 0x8000.
# Numbers are for ever: a newer firmware reads what an older one wrote.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

BOOT_REASON = const(0x8000)  # text: the reason that the next BootNotification gives
CSMS_URL = const(0x8001)  # text: without the identity
IDENTITY = const(0x8002)  # text
PASSWORD = const(0x8003)  # text: basic auth; never logged, never reported
OLD_PASSWORD = const(0x8004)  # text: the last that the CSMS took, until it takes another
GOOD_SLOT = const(0x8005)  # network profile of the last connection that was good, when it is not 1
OPERATIVE = const(0x8100)  # + EVSE * 16 + connector (0, 0: the station): 0 when Inoperative
# Network profiles, + slot * 16. Slot 1 is the factory's CSMS until another one is set.
SLOT_URL = const(0x8200)  # text: without the identity
SLOT_TIMEOUT = const(0x8201)  # seconds
SLOT_SECURITY = const(0x8202)  # security profile
SLOT_ADDRESS = const(0x8203)  # text: the CSMS's host, a space, its last good address

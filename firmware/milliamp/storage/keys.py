# Settings that are not device model variables. A variable's key is its id * 16 + EVSE, below 0x8000.
# Numbers are for ever: a newer firmware reads what an older one wrote.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# text: the reason that the next BootNotification gives.
BOOT_REASON = const(0x8000)
# text: without the identity.
CSMS_URL = const(0x8001)
# Text.
IDENTITY = const(0x8002)
# text: basic auth; never logged, never reported.
PASSWORD = const(0x8003)
# text: the last that the CSMS took, until it takes another.
OLD_PASSWORD = const(0x8004)
# Network profile of the last connection that was good, when it is not 1.
GOOD_SLOT = const(0x8005)
# + EVSE * 16 + connector (0, 0: the station): 0 when Inoperative.
OPERATIVE = const(0x8100)
# Network profiles, + slot * 16. Slot 1 is the factory's CSMS until another one is set.

# text: without the identity.
SLOT_URL = const(0x8200)
# Seconds.
SLOT_TIMEOUT = const(0x8201)
# Security profile.
SLOT_SECURITY = const(0x8202)
# text: the CSMS's host, a space, its last good address.
SLOT_ADDRESS = const(0x8203)

# What a journal record is: 4 bits in its head. Numbers are for ever: old logs hold them. Three bits of them are
# set, or one: a single flipped bit makes no other kind.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# State: it counts only in the newest sector, whose opening records say all that is still true.

# Everything below a record number is delivered or discarded.
ACK = const(7)
# First in each sector: what its records need to be read alone.
BASE = const(1)
# Checkpoint of an open transaction, behind each BASE.
OPEN_TX = const(2)
# What the clock was off by, for the records of this boot.
CLOCK_SET = const(4)

# Delivered, in order. From here on a record is numbered, is kept until it is acknowledged, and
# carries its connection and its time.
TX_EVENT = const(8)
# A transaction event that thinning may drop.
TX_UPDATE = const(11)
SECURITY = const(13)
# Whatever else a block has to tell; what is first in the payload says which of the messages below it is.
MESSAGE = const(14)
FIRST_DELIVERED = const(8)

# The first byte of a message. Bit 7 of it, as of a security event: it was queued again, since nobody answered.
FIRMWARE_STATUS = const(1)
RESERVATION = const(2)
MONITORING_EVENT = const(3)
AGAIN = const(0x80)

# The lowest three bits of an acknowledgement; above them are 13 bits of the number.

# Given up, not delivered.
DISCARDED = const(1)
# All of the number follows, and how many records were found damaged so far.
LONG = const(2)
# The names of the transactions that go on follow, all of them.
NAMED = const(4)

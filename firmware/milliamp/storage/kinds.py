# What a journal record is: 4 bits in its head. Numbers are for ever: old logs hold them. Three bits of them are
# set, or one: a single flipped bit makes no other kind.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# State: it counts only in the newest sector, whose opening records say all that is still true.
_ACK = const(7)  # everything below a record number is delivered or discarded
_BASE = const(1)  # first in each sector: what its records need to be read alone
_OPEN_TX = const(2)  # checkpoint of an open transaction, behind each _BASE
_CLOCK_SET = const(4)  # what the clock was off by, for the records of this boot

# Delivered, in order. From here on a record is numbered, is kept until it is acknowledged, and
# carries its connection and its time.
_TX_EVENT = const(8)
_TX_UPDATE = const(11)  # a transaction event that thinning may drop
_SECURITY = const(13)
# Whatever else a block has to tell; what is first in the payload says which of the messages below it is.
_MESSAGE = const(14)
_FIRST_DELIVERED = const(8)

# The first byte of a message. Bit 7 of it, as of a security event: it was queued again, since nobody answered.
_FIRMWARE_STATUS = const(1)
_RESERVATION = const(2)
_MONITORING_EVENT = const(3)
_AGAIN = const(0x80)

# The lowest three bits of an acknowledgement; above them are 13 bits of the number.
_DISCARDED = const(1)  # given up, not delivered
_LONG = const(2)  # all of the number follows, and how many records were found damaged so far
_NAMED = const(4)  # the names of the transactions that go on follow, all of them

# What the station counts: indices into `station.counters`, an array("L") of `COUNTS` zeros.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# CALLs of the CSMS that were answered with a CALLRESULT.
CALLS = const(0)
# CALLs of the CSMS that were answered with a CALLERROR.
REFUSED_CALLS = const(1)
# Messages that are no RPC frame: not JSON, no array, binary, unknown type.
BAD_FRAMES = const(2)
# Messages longer than the receive buffer, drained.
OVERSIZE = const(3)
# Long strings that were taken out of a message as it arrived.
DIVERTED = const(4)
# Answers that no call waits for: late, duplicate or unknown.
LATE_ANSWERS = const(5)
# Answers whose payload breaks the schema; they acknowledge too.
MALFORMED_ANSWERS = const(6)
# Calls of ours that the CSMS answered with a CALLERROR.
ERROR_ANSWERS = const(7)
# Calls of ours that nobody answered in time.
TIMEOUTS = const(8)
# Connections that ended without a closing handshake.
LINK_LOSSES = const(9)
# Exceptions in our own handlers: each one is a bug.
HANDLER_FAULTS = const(10)
# Meters that counted less than before, and were followed from there.
METERS_ANEW = const(11)

# The length of the array, with room.
COUNTS = const(16)

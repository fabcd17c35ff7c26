# What the station counts: indices into `station.counters`, an array("L") of `COUNTS` zeros.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

CALLS = const(0)  # CALLs of the CSMS that were answered with a CALLRESULT
REFUSED_CALLS = const(1)  # CALLs of the CSMS that were answered with a CALLERROR
BAD_FRAMES = const(2)  # messages that are no RPC frame: not JSON, no array, binary, unknown type
OVERSIZE = const(3)  # messages longer than the receive buffer, drained
DIVERTED = const(4)  # long strings that were taken out of a message as it arrived
LATE_ANSWERS = const(5)  # answers that no call waits for: late, duplicate or unknown
MALFORMED_ANSWERS = const(6)  # answers whose payload breaks the schema; they acknowledge too
ERROR_ANSWERS = const(7)  # calls of ours that the CSMS answered with a CALLERROR
TIMEOUTS = const(8)  # calls of ours that nobody answered in time
LINK_LOSSES = const(9)  # connections that ended without a closing handshake
HANDLER_FAULTS = const(10)  # exceptions in our own handlers: each one is a bug
METERS_ANEW = const(11)  # meters that counted less than before, and were followed from there

COUNTS = const(16)  # the length of the array, with room

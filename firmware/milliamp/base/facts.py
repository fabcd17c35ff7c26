# The facts that rooms tell each other over the bus: one bit each, so that a subscriber names a set.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# Told by the domain; `evse` is the EVSE's index.

# arg: connector plugged in, 0 for none.
CABLE = const(0x0001)
# arg: ord() of the control pilot state, "A" to "F".
PILOT = const(0x0002)
# arg: (idToken, type); evse 0 when the reader is shared.
CARD = const(0x0004)
# arg: None.
STOP_BUTTON = const(0x0008)
# arg: the fault's name, None when it is gone.
FAULT = const(0x0010)
# arg: is it occupied?
BAY = const(0x0020)
# A connector's effective status changed; arg: connector.
STATUS = const(0x0040)
# The CSMS must be asked about a token; arg: domain.tokens request.
ASK_TOKEN = const(0x0080)
# A transaction event is in the journal; arg: (event type, trigger).
TX = const(0x0100)
# arg: charging state number of domain.transaction.
CHARGING_STATE = const(0x0200)
# A plug that should be locked is not, or that is over; arg: connector.
LOCK_PROBLEM = const(0x10000)

# Told by the wire and the storage; `evse` is 0.

# arg: 1 the WebSocket is open, 2 with another CSMS than before, 0 it is closed.
LINK = const(0x0400)
# arg: registered with the CSMS? Else Pending or Rejected.
ACCEPTED = const(0x0800)
# The last journal record was acknowledged.
QUEUE_EMPTY = const(0x1000)
# The clock was set; arg: seconds it moved.
CLOCK = const(0x2000)
# A device model variable was written; arg: variable id.
VARIABLE = const(0x4000)

# A vote: whoever would be disturbed by a reset of this EVSE (0: the station) answers 1.
WHO_IS_BUSY = const(0x8000)

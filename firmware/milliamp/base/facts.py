# The facts that rooms tell each other over the bus: one bit each, so that a subscriber names a set.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# Told by the domain; `evse` is the EVSE's index.
CABLE = const(0x0001)  # arg: connector plugged in, 0 for none
PILOT = const(0x0002)  # arg: ord() of the control pilot state, "A" to "F"
CARD = const(0x0004)  # arg: (idToken, type); evse 0 when the reader is shared
STOP_BUTTON = const(0x0008)  # arg: None
FAULT = const(0x0010)  # arg: the fault's name, None when it is gone
BAY = const(0x0020)  # arg: is it occupied?
STATUS = const(0x0040)  # a connector's effective status changed; arg: connector
ASK_TOKEN = const(0x0080)  # the CSMS must be asked about a token; arg: domain.tokens request
TX = const(0x0100)  # a transaction event is in the journal; arg: (event type, trigger)
CHARGING_STATE = const(0x0200)  # arg: charging state number of domain.transaction
LOCK_PROBLEM = const(
    0x10000
)  # a plug that should be locked is not, or that is over; arg: connector

# Told by the wire and the storage; `evse` is 0.
LINK = const(
    0x0400
)  # arg: 1 the WebSocket is open, 2 with another CSMS than before, 0 it is closed
ACCEPTED = const(0x0800)  # arg: registered with the CSMS? Else Pending or Rejected
QUEUE_EMPTY = const(0x1000)  # the last journal record was acknowledged
CLOCK = const(0x2000)  # the clock was set; arg: seconds it moved
VARIABLE = const(0x4000)  # a device model variable was written; arg: variable id

# A vote: whoever would be disturbed by a reset of this EVSE (0: the station) answers 1.
WHO_IS_BUSY = const(0x8000)

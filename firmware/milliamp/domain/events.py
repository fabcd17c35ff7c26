# The numbers of a transaction event, as flash holds them: for ever. Their names on the wire stand in
# blocks.transactions, in the same order; what OCPP has besides is not there, for nothing here makes it.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

_STARTED = const(0)
_UPDATED = const(1)
_ENDED = const(2)

# Why an event was made (TriggerReasonEnumType).
_AUTHORIZED = const(0)
_CABLE_PLUGGED_IN = const(1)
_CHARGING_STATE_CHANGED = const(2)
_DEAUTHORIZED = const(3)
_EV_COMMUNICATION_LOST = const(4)
_EV_CONNECT_TIMEOUT = const(5)
_METER_VALUE_PERIODIC = const(6)
_METER_VALUE_CLOCK = const(7)
_TRIGGER = const(8)
_STOP_AUTHORIZED = const(9)
_REMOTE_START = const(10)
_REMOTE_STOP = const(11)
_EV_DETECTED = const(12)
_EV_DEPARTED = const(13)
_RESET_COMMAND = const(14)
_ABNORMAL_CONDITION = const(15)

# The errno of an event that was left out: there is no room, and it is not needed. It is in no record.
_LEFT_OUT = const(105)

# What the charging is doing (ChargingStateEnumType).
_IDLE = const(0)
_EV_CONNECTED = const(1)
_CHARGING = const(2)
_SUSPENDED_EV = const(3)
_SUSPENDED_EVSE = const(4)

# Why a transaction ended (ReasonEnumType); 0 stands for Local, the default.
_LOCAL = const(0)
_DE_AUTHORIZED = const(1)
_EV_DISCONNECTED = const(2)
_IMMEDIATE_RESET = const(3)
_POWER_LOSS = const(4)
_REBOOT = const(5)
_REMOTE = const(6)
_TIMEOUT = const(7)
_MASTER_PASS = const(8)
_STOPPED_BY_EV = const(9)
_OTHER = const(10)

# When a measurement was taken (ReadingContextEnumType).
_TRANSACTION_BEGIN = const(0)
_TRANSACTION_END = const(1)
_SAMPLE_PERIODIC = const(2)
_SAMPLE_CLOCK = const(3)
_SAMPLE_TRIGGER = const(4)

# The start and stop points of a transaction (values of TxStartPoint and TxStopPoint).
_PARKING_BAY = const(1)
_EV_CONNECTION = const(2)
_AUTHORIZATION = const(4)
_DATA_SIGNED = const(8)
_POWER_PATH = const(16)
_ENERGY_TRANSFER = const(32)

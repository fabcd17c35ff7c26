# The errno of an OSError that the domain raises for reasons of its own; it is in no record.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# Of an event that was left out: there is no room, and it is not needed.
LEFT_OUT = const(105)

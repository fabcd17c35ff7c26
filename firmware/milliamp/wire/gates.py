# When the sender may send a row of a block's SENDS. The first three are registrations too: Rejected, Pending, Accepted.
# A file of nothing but constants: the build folds them into whoever imports them.
from micropython import const

# As soon as the link is up.
BEFORE_BOOT = const(0)
# Pending is enough: the CSMS asked for it (B02).
WHEN_PENDING = const(1)
WHEN_ACCEPTED = const(2)
# The journal's head; when Accepted, acknowledged by the answer, retried as E13 says.
FROM_JOURNAL = const(3)

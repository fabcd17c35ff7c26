"""The CSMS, as good and as odd as they come, and its books."""

"""The station: its hardware, its flash, its controller, and the firmware as a process on it."""

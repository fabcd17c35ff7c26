# What everything else stands on: the board, flash devices, facts, the log. Imports nothing of ours.

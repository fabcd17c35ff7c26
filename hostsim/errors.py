"""What went wrong, for a person: one line that says what to do."""


class Trouble(Exception):
    """Something that the user can mend. The text is the one line that is shown, without a traceback."""

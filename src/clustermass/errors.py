"""The one exception that a user's input can raise."""


class InputError(ValueError):
    """A user's input is wrong; the message says what, where (file, row, column, key) and what to do. No traceback."""

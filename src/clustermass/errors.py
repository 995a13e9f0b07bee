"""The exception for errors in a user's input."""


class InputError(ValueError):
    """Error in a user's input. The message says what is wrong, where (file, row, column or key), and what to do."""

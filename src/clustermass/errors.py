"""The one exception that a user's input can raise."""


class InputError(ValueError):
    """Something the user handed over is wrong.

    The message says what is wrong, where (file, row, column, key) and what to do about it. Command-line tools and
    workflow adapters print it without a traceback.
    """

"""The one error that unusable data ends in."""


class DataError(ValueError):
    """Data on disk that cannot be used; the message names the file and what to do about it."""

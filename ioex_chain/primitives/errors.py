"""The root of every error that this program raises on purpose."""


class IoexError(Exception):
    """Something a caller or a user can understand; the message says what to do about it."""


class DecodeError(IoexError, ValueError):
    """Bytes that are not in the form that the reader was told to expect."""


class UnexpectedEnd(DecodeError):
    """The bytes end before the value does."""


class TrailingBytes(DecodeError):
    """Bytes follow where the value is complete."""


class NotCanonical(DecodeError):
    """A value that could be written shorter or in one other way; only one form is accepted."""


class OverCap(DecodeError):
    """A declared length or count is above what this field may have, refused before allocating."""

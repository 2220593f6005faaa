"""The error of fragments that cannot be rendered."""


class RenderError(ValueError):
    """A fragment cannot be rendered; the message names it and the key."""

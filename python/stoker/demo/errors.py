"""The one exception with which the demo gives up."""


class DemoError(Exception):
    """The demo cannot go on. The message is one line that says why and, where known, what to do."""

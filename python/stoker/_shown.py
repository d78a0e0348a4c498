"""How a record shows itself where a notebook's cell, or the interpreter's prompt, evaluates it: in words."""

from __future__ import annotations

from html import escape

_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.4"


def words_as_html(words: str) -> str:
    """The words as they are printed. Names in them may be anything, and need not be valid UTF-8."""
    text = escape(words).encode("utf-8", "backslashreplace").decode("utf-8")
    return f'<pre style="{_STYLE}">{text}</pre>'


class Shown:
    """A record whose class says what it is in ``__str__``; a dataclass of this kind has ``repr=False``."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return words_as_html(str(self))


class Report(str):
    """A text of several lines that shows itself as it is printed, without quotes and ``\\n``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return words_as_html(self)

r"""Texts that hold what came from outside (a file's name, an exception's words), as people see them.

A file's name may be any bytes: an escape sequence that repaints the terminal, a newline that forges
a line of a log, an override that turns what follows around, bytes that are no text at all. Whatever
people read has such characters as ``\x1b`` or ``\u202e``, and bytes that are no text as ``\xff``; what
programs read (attributes, JSON) has the name itself.
"""

from __future__ import annotations

import re
from html import escape

# Control characters, what changes the direction or the place of others, and surrogates, which Python
# stands in for bytes that are no text (PEP 383).
_UNPRINTABLE = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb"
)
_FIND = re.compile(f"[{_UNPRINTABLE}]")
_FIND_IN_NAME = re.compile(rf"[{_UNPRINTABLE}\\]")
_FIND_ESCAPE = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code == 0x5C:
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # A control character above 0x7F must not look like a byte that is no text.
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def printable(text: str) -> str:
    """Prose in one line, for people."""
    return _FIND.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, each ours."""
    return "\n".join(map(printable, text.split("\n")))


def printable_name(name: str) -> str:
    """A file's name for people. Backslashes are doubled, so that ``name_of`` gives it back."""
    return _FIND_IN_NAME.sub(_escape, name)


def html_text(text: str) -> str:
    """The same as HTML: in a text, or in a quoted attribute."""
    return escape(printable(text))


def name_of(printed: str) -> str:
    """The name that ``printable_name`` has made ``printed`` of."""

    def character(found: re.Match[str]) -> str:
        escape = found[1]
        if escape == "\\":
            return "\\"
        code = int(escape[1:], 16)
        return chr(code + 0xDC00 if escape[0] == "x" and code >= 0x80 else code)

    return _FIND_ESCAPE.sub(character, printed)


def json_printable(text: str) -> str:
    r"""A JSON text with such characters as JSON's own ``\uXXXX``: valid UTF-8, with the same meaning."""
    return _FIND.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

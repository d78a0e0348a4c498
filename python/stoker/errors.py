"""What Stoker raises."""

from __future__ import annotations

import re

from ._printable import name_of, printable, printable_lines, printable_name

# The sample in a DataError's text; see DataError.__str__.
_SAMPLE = re.compile(r"cannot (\w+) sample ([\d,]+) \((.*)\): (.*)")


class StateError(ValueError):
    """A state that does not fit the loader that it was given to."""


class DataError(RuntimeError):
    """A sample could not be loaded.

    Only the batch that the sample belongs to is lost: the iterator that raised can be asked for the
    next one.

    Attributes:
        index: of the sample in its dataset; -1 where there is no dataset (``stoker.decode``).
        path: of the sample's file, as ``os.fsdecode`` has it: it opens the file, whatever its name; ""
            for bytes. The error's text has it with escapes in place of what cannot be printed.
        stage: "read", "decode" or "transform".
        reason: what went wrong there, in words.
        batch: number of the batch within its epoch, from 0; None outside a loader.
    """

    def __init__(self, index: int | str, path: str = "", stage: str = "", reason: str = "") -> None:
        super().__init__(index, path, stage, reason)
        self.batch: int | None = None
        self._text = ""
        if isinstance(index, str):
            # Torch carries an exception out of a worker process as text, and makes it anew from that.
            self._text = reason = index
            if found := _SAMPLE.search(index):
                stage, index, path, reason = found.groups()
                path = name_of(path)
        self.index = int(str(index).replace(",", "")) if stage else -1
        self.path = path
        self.stage = stage
        self.reason = reason

    def __str__(self) -> str:
        if self._text:
            return printable_lines(self._text)  # made from such a text as follows
        path = printable_name(self.path)
        what = path or "the given bytes"
        if self.index >= 0:
            what = f"sample {self.index:,} ({path})"
        text = f"cannot {self.stage} {what}: {printable(self.reason)}"
        if self.batch is not None:
            text += f"\n  stage {self.stage} · batch {self.batch} · index {self.index}"
        return text

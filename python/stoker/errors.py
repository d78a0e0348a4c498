"""What Stoker raises."""

from __future__ import annotations

import re

# The sample in a DataError's text; see DataError.__str__.
_SAMPLE = re.compile(r"cannot (\w+) sample ([\d,]+) \((.*)\): (.*)")


class DataError(RuntimeError):
    """A sample could not be loaded.

    Only the batch that the sample belongs to is lost: the iterator that raised can be asked for the
    next one.

    Attributes:
        index: of the sample in its dataset; -1 where there is no dataset (``stoker.decode``).
        path: of the sample's file; "" for bytes.
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
        self.index = int(str(index).replace(",", "")) if stage else -1
        self.path = path
        self.stage = stage
        self.reason = reason

    def __str__(self) -> str:
        if self._text:
            return self._text
        what = self.path or "the given bytes"
        if self.index >= 0:
            what = f"sample {self.index:,} ({self.path})"
        text = f"cannot {self.stage} {what}: {self.reason}"
        if self.batch is not None:
            text += f"\n  stage {self.stage} · batch {self.batch} · index {self.index}"
        return text

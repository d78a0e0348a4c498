"""What Stoker raises."""

from __future__ import annotations


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

    def __init__(self, index: int, path: str, stage: str, reason: str) -> None:
        super().__init__(index, path, stage, reason)
        self.index = index
        self.path = path
        self.stage = stage
        self.reason = reason
        self.batch: int | None = None

    def __str__(self) -> str:
        what = self.path or "the given bytes"
        if self.index >= 0:
            what = f"sample {self.index:,} ({self.path})"
        text = f"cannot {self.stage} {what}: {self.reason}"
        if self.batch is not None:
            text += f"\n  stage {self.stage} · batch {self.batch} · index {self.index}"
        return text

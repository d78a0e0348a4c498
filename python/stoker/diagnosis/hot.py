"""Which code of the script takes most of its workers' time, by a profile. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .. import transforms
from .recording import Recording

LEAST_SHARE = 0.2  # of the time: a function that takes less is not worth being named as a cure


@dataclass(frozen=True)
class Hot:
    """A part of a profile.

    Attributes:
        kind: "python" (a function of the script's own) or "transform".
        name: of the function, or of the transform's class.
        where: the line of it that was seen most often, as "data.py:12"; "" where it is not known.
        share: of the workers' time.
        in_loops: whether most of that is spent in loops of the script's own.
    """

    kind: str
    name: str
    where: str
    share: float
    in_loops: bool

    @property
    def words(self) -> str:
        """As "elastic() (data.py:12)"."""
        if self.kind == "transform":
            return f"the transform {self.name}"
        return f"{self.name}() ({self.where})"


def is_native(transform: str) -> bool:
    """Whether Stoker has a transform of that name."""
    return transform in transforms.__all__


def hottest(recording: Recording) -> Hot | None:
    """What takes most of the time of all that the script itself could do better; None: nothing is known, or
    nothing takes much."""
    if recording.few_looks:
        return None
    parts: dict[tuple[str, str, str], list[tuple[float, float, str]]] = {}
    for part, share in recording.profile.items():
        kind, _, rest = part.partition(": ")
        if kind not in ("python", "transform") or not rest:
            continue
        name, _, where = rest.removesuffix(")").partition(" (")
        key = kind, name, where.rpartition(":")[0]
        parts.setdefault(key, []).append((share, share * recording.loops.get(part, 0.0), where))
    found = [
        Hot(kind, name, max(lines)[2], share, looped > share / 2)
        for (kind, name, _), lines in parts.items()
        for share, looped in [(sum(line[0] for line in lines), sum(line[1] for line in lines))]
    ]
    most = max(found, key=lambda hot: hot.share, default=None)
    return most if most is not None and most.share >= LEAST_SHARE else None


def native_share(recording: Recording) -> float:
    """The share of the workers' time that goes into images as Stoker would load them: into reading, decoding
    and transforms that it knows by name."""
    share = 0.0
    for part, of_it in recording.profile.items():
        kind, _, name = part.partition(": ")
        if kind in ("read", "decode") or (kind == "transform" and is_native(name)):
            share += of_it
    return share

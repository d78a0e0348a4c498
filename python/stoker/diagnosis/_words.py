"""``stoker._words``, for the modules of this folder."""

from .._words import cores_of, counted, duration, percent, rate, size, tick, times

__all__ = ["cores_of", "counted", "duration", "percent", "rate", "size", "tick", "times"]

"""Figures as words: each with its unit, three digits or so."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """As "44.5 µs", "1.11 ms", "2.67 s" or "12.5 min"."""
    if seconds == 0:
        return "0 s"
    if abs(seconds) >= 600:
        return f"{_digits(seconds / 60)} min"
    if abs(seconds) >= 0.9995:
        return f"{_digits(seconds)} s"
    if abs(seconds) >= 0.9995e-3:
        return f"{_digits(seconds * 1e3)} ms"
    return f"{_digits(seconds * 1e6)} µs"


def tick(seconds: float) -> str:
    """As ``duration``, without zeros at the end: for round values, such as "50 ms"."""
    number, unit = duration(seconds).split(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _digits(value: float) -> str:
    size = abs(value)
    # The limits are where rounding would add a digit.
    if size >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def percent(share: float) -> str:
    """As "31%", "6.2%" or "<0.1%"."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def rate(images_per_s: float) -> str:
    """As "2,510 images/s"."""
    return f"{images_per_s:,.0f} images/s" if images_per_s >= 10 else f"{images_per_s:.2f} images/s"


def times(factor: float) -> str:
    """As "1.42 ×"; large ones without decimals."""
    return f"{factor:,.0f} ×" if factor >= 20 else f"{factor:.2f} ×"


def size(count: float) -> str:
    """Bytes, as "3.2 MB"."""
    for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= least:
            return f"{_digits(count / least)} {unit}"
    return f"{count:,.0f} B"


def counted(count: int, thing: str, things: str = "") -> str:
    """As "1 step" or "4,096 steps"; ``things``: where it is not "thing" and an s."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {things or thing + 's'}"


def cores_of(count: float, decimals: int = 0) -> str:
    """As "1 core", "1.5 cores" or, with a decimal, "1.0 cores"."""
    number = f"{count:.{decimals}f}" if decimals else f"{count:g}"
    return f"{number} core" if number == "1" else f"{number} cores"

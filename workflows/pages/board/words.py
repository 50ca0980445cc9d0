"""Numbers in words."""

from __future__ import annotations

from datetime import datetime


def duration(seconds: float) -> str:
    """`0:45`, `12:31` or `1:05:30`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def clock(at: float) -> str:
    """The time of day here, of seconds since 1970."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


def day_and_clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def counted(number: int, thing: str) -> str:
    """`1 worker`, `2 workers`, `3 losses`."""
    return f"{number} {thing}" + ("" if number == 1 else "es" if thing.endswith("s") else "s")

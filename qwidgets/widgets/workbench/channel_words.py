"""Channels as a person writes them: a few numbers and ranges, or all. Pure functions of text and numbers."""

import re
from collections.abc import Sequence

from qwidgets.errors import PlanError
from qwidgets.widgets.controls import runs

ALL = "all"


def read(text: str, count: int) -> tuple[int, ...]:
    """The channels that were meant, in order, each once; every one of ``count`` for "all".

    Raises
    ------
    PlanError
        The text makes no sense, or there is no such channel.

    Examples
    --------
    >>> read("0-3, 12, 2", 16), read("all", 3)
    ((0, 1, 2, 3, 12), (0, 1, 2))
    """
    if text.strip().casefold() in (ALL, ""):
        return tuple(range(count))
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:(?:-|–|…|\.\.)\s*(\d+)\s*)?", part)
        if found is None:
            raise PlanError(f"cannot read the channels {text!r}; write such as 3, 0-7, or all")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last >= count:
            raise PlanError(f"there are no channels {part.strip()}: there are {count}, counted from 0")
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))


def channels_text(channels: Sequence[int], count: int) -> str:
    """Channels as :func:`read` takes them.

    Examples
    --------
    >>> channels_text((0, 1, 2, 12), 16), channels_text((0, 1), 2)
    ('0-2, 12', 'all')
    """
    if len(channels) == count:
        return ALL
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs(channels))


def check(channels: Sequence[int], count: int) -> None:
    """Raise a PlanError that names a channel that is not there."""
    for channel in channels:
        if not 0 <= channel < count:
            raise PlanError(f"there is no channel {channel}: there are {count}, counted from 0")

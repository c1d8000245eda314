"""The outline around the rows that are selected in a picture of rows. Pure functions of row numbers."""

from collections.abc import Sequence

Corners = list[list[float]]


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as pairs of the first and the last of those that follow each other.

    Examples
    --------
    >>> runs([0, 1, 2, 12])
    [(0, 2), (12, 12)]
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def around(rows: Sequence[int], count: int, width: float) -> tuple[Corners, Corners]:
    """The x and y of a rectangle around each run of rows, of ``count`` rows that are counted from the top.

    Examples
    --------
    >>> around([1], 3, 8.0)
    ([[0.0, 8.0, 8.0, 0.0, 0.0]], [[2.0, 2.0, 1.0, 1.0, 2.0]])
    """
    found = [(float(count - first), float(count - last - 1)) for first, last in runs(rows)]
    return [[0.0, width, width, 0.0, 0.0] for _ in found], [[high, high, low, low, high] for high, low in found]

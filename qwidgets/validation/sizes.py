"""Memory of tensors: in float, and packed at the word length of their format."""

import math

from qwidgets.network import Row
from qwidgets.tuning import Format

FLOAT_BYTES = 4


def packed(count: int, fmt: Format) -> int:
    """Give the bytes that so many values take, packed without a gap; 4 each where they stay in float.

    Examples
    --------
    >>> from qwidgets.formats import FixedPoint
    >>> packed(12, FixedPoint(6)), packed(12, None)
    (9, 48)
    """
    return FLOAT_BYTES * count if fmt is None else -(-count * fmt.word_length // 8)


def parameter_bytes(row: Row, fmt: Format) -> int:
    """Give the memory of a weight or bias; 0 for any other row."""
    return packed(math.prod(size or 1 for size in row.shape), fmt) if row.kind in ("weight", "bias") else 0

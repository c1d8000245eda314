"""Walking the values of a tensor where they lie, in runs of adjacent memory.

Counting does not care for order. A tensor that fills its memory without gaps or overlaps (contiguous, channels-last,
permuted) is one run, as it is stored. Any other view is copied in blocks of bounded size, so that exactly its logical
values are seen: an expanded value as often as it appears, a skipped one never.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch


def blocks(x: torch.Tensor, limit: int) -> Iterator[torch.Tensor]:
    """Give one-dimensional tensors that together hold all values of ``x``; copies have at most ``limit``."""
    if x.numel() == 0:
        return
    if _fills_memory(tuple(x.shape), x.stride()):
        yield x.as_strided((x.numel(),), (1,), x.storage_offset())
    elif x.numel() <= limit:
        yield x.contiguous().view(-1)
    else:
        longest = max(range(x.dim()), key=lambda axis: x.shape[axis])
        half = x.shape[longest] // 2
        for part in x.split([half, x.shape[longest] - half], longest):
            yield from blocks(part, limit)


def array_blocks(x: npt.NDArray[np.generic], limit: int) -> Iterator[npt.NDArray[np.generic]]:
    """Do the same for a NumPy array."""
    if x.size == 0:
        return
    if x.flags.c_contiguous:
        yield x.reshape(-1)
        return
    if min(x.strides) < 0:
        x = x[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in x.strides)]
    if _fills_memory(x.shape, tuple(stride / x.itemsize for stride in x.strides)):
        yield x.transpose(np.argsort(x.strides)[::-1]).reshape(-1)
    elif x.size <= limit:
        yield np.ascontiguousarray(x).reshape(-1)
    else:
        longest = int(np.argmax(x.shape))
        half = x.shape[longest] // 2
        before: list[slice] = [slice(None)] * longest
        yield from array_blocks(x[(*before, slice(None, half))], limit)
        yield from array_blocks(x[(*before, slice(half, None))], limit)


def _fills_memory(shape: tuple[int, ...], strides: tuple[float, ...]) -> bool:
    """Tell whether a view visits each element of one run of memory exactly once. Strides count elements."""
    expected = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True

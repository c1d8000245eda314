"""Where a tensor's values lie in the memory of another, in strides: how moves, broadcasts and sums are written."""

from collections.abc import Sequence

import torch
from torch import Tensor

MAX_RANK = 6
"""As many dimensions as a view in ``layers.h`` has."""

View = dict[str, int | list[int]]


def strides_of(shape: Sequence[int]) -> list[int]:
    """The distance in memory between neighbours along each dimension.

    Examples
    --------
    >>> strides_of((2, 3, 4))
    [12, 4, 1]
    """
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return strides[: len(shape)]


def view(shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> View | None:
    """Describe a view with as few dimensions as it needs; None where those are still too many.

    Examples
    --------
    >>> view((2, 3, 4), (12, 4, 1))
    {'rank': 1, 'offset': 0, 'shape': [24], 'strides': [1]}
    >>> view((2, 1, 4), (1, 9, 2), 5)
    {'rank': 2, 'offset': 5, 'shape': [2, 4], 'strides': [1, 2]}
    """
    kept: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if kept and kept[-1][1] == size * stride:
            kept[-1] = (kept[-1][0] * size, stride)
        else:
            kept.append((size, stride))
    if len(kept) > MAX_RANK:
        return None
    return {
        "rank": len(kept),
        "offset": offset,
        "shape": [size for size, _ in kept],
        "strides": [stride for _, stride in kept],
    }


def broadcast(shape: Sequence[int], to: Sequence[int]) -> View | None:
    """Describe how a tensor is read in the place of a larger one.

    Examples
    --------
    >>> broadcast((3, 1), (2, 3, 4))
    {'rank': 3, 'offset': 0, 'shape': [2, 3, 4], 'strides': [0, 1, 0]}
    """
    sizes = [1] * (len(to) - len(shape)) + list(shape)
    strides = [0 if size == 1 else stride for size, stride in zip(sizes, strides_of(sizes), strict=True)]
    return view(to, strides)


def affine(places: Tensor) -> View | None:
    """Describe as a view where each value of a moved tensor comes from; None where that is no matter of strides.

    Examples
    --------
    >>> affine(torch.arange(12).reshape(3, 4).T[1:])
    {'rank': 2, 'offset': 1, 'shape': [3, 3], 'strides': [1, 4]}
    >>> affine(torch.tensor([0, 1, 3])) is None
    True
    """
    places = places.to(torch.int64).cpu()
    if not places.numel():
        return None
    offset = int(places.flatten()[0])
    strides = []
    rebuilt = torch.full(places.shape, offset)
    for axis, size in enumerate(places.shape):
        strides.append(int(places.select(axis, 1).flatten()[0]) - offset if size > 1 else 0)
        along = torch.arange(size) * strides[-1]
        rebuilt += along.reshape([-1 if other == axis else 1 for other in range(places.ndim)])
    return view(places.shape, strides, offset) if torch.equal(rebuilt, places) else None


def tables(places: Tensor) -> tuple[list[int], Tensor]:
    """Give sizes, and for each a table, that add up to where each value of a moved tensor comes from.

    A dimension has a table where moving is a matter of each dimension by itself, as scaling an image up is; otherwise
    there is one table of all places. The tables are joined.

    Examples
    --------
    >>> tables(torch.tensor([[0, 0, 1], [4, 4, 5]]))
    ([2, 3], tensor([0, 4, 0, 0, 1]))
    >>> tables(torch.tensor([[0, 3], [1, 0]]))
    ([4], tensor([0, 3, 1, 0]))
    """
    places = places.to(torch.int64).cpu()
    whole = [places.numel()], places.flatten()
    places = places.squeeze()
    if not 1 < places.ndim <= MAX_RANK:
        return whole
    first = places.flatten()[0]
    found, rebuilt = [], torch.zeros_like(places)
    for axis, size in enumerate(places.shape):
        along = places[tuple(slice(None) if other == axis else 0 for other in range(places.ndim))]
        found.append(along if axis == 0 else along - first)
        rebuilt += found[-1].reshape([size if other == axis else 1 for other in range(places.ndim)])
    return (list(places.shape), torch.cat(found)) if torch.equal(rebuilt, places) else whole


def is_whole(described: View, count: int) -> bool:
    """Whether a view reads ``count`` values as they lie."""
    whole = {"rank": 1, "offset": 0, "shape": [count], "strides": [1]}
    return described == whole or (count == 1 and described["rank"] == 0 and described["offset"] == 0)

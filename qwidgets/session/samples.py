"""Batches as samples: how many there are, the first few of them, and a reading that is counted and can be stopped.

A person thinks of 450 images, not of 8 batches. Nothing here knows of plans or widgets.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.feeding import batches_of, length_of

HELD_BACK_FROM = 4
"""Of so many batches one can be spared."""


@dataclasses.dataclass(frozen=True)
class Count:
    """How many samples were looked at, of how many (None: the data does not tell).

    Examples
    --------
    >>> str(Count(450, 450, "images")), str(Count(128, 450, "images")), str(Count(128, None))
    ('all 450 images', 'first 128 of 450 images', 'first 128 samples')
    """

    samples: int
    total: int | None = None
    unit: str = "samples"

    @property
    def complete(self) -> bool:
        """Whether it was all of them."""
        return self.samples == self.total

    def __str__(self) -> str:
        if self.complete:
            return f"all {self.samples:,} {self.unit}"
        return f"first {self.samples:,}{'' if self.total is None else f' of {self.total:,}'} {self.unit}"


def size_of(batch: Any) -> int:
    """Give the number of samples in a batch: the length of the first tensor or array in it.

    Examples
    --------
    >>> import torch
    >>> size_of((torch.zeros(64, 1, 8, 8), torch.zeros(64))), size_of({"tokens": torch.zeros(2, 7)})
    (64, 2)
    """
    return next((len(leaf) for leaf in pytree.tree_leaves(_plain(batch)) if _has_samples(leaf)), 1)


def total_of(data: Any) -> int | None:
    """Give the number of samples in data, where it can be told without reading it."""
    if isinstance(data, Tensor | np.ndarray):
        return len(data)
    if isinstance(data, list | tuple):
        return sum(map(size_of, data))
    try:  # a data loader
        samples = len(data.sampler)
        return samples - samples % data.batch_size if data.drop_last else samples
    except (AttributeError, TypeError):
        return None


def first(data: Iterable[Any], samples: int) -> list[Any]:
    """Read so many samples, in the batches in which they come; the last of them is cut where it has more.

    Examples
    --------
    >>> import torch
    >>> [len(batch) for batch in first(torch.zeros(50, 3).split(20), 30)]
    [20, 10]
    """
    found: list[Any] = []
    for batch in batches_of(data):
        size = size_of(batch)
        found.append(batch if size <= samples else _cut(batch, size, samples))
        samples -= size
        if samples <= 0:
            break
    return found


def can_be_read_again(data: object) -> bool:
    """Whether iterating over data a second time begins anew: not so for a generator."""
    return isinstance(data, Iterable) and iter(data) is not data


class HeldBack:
    """Data without its last batch, which is kept for a look at what was not calibrated with.

    Data of fewer than four batches is given as a whole, and then nothing is kept.

    Attributes
    ----------
    batches
        The batch that was held back, once the data was read to its end.

    Examples
    --------
    >>> data = HeldBack(list("abcde"))
    >>> list(data), data.batches
    (['a', 'b', 'c', 'd'], ['e'])
    """

    def __init__(self, data: Iterable[Any]) -> None:
        self._data = data
        self._length = length_of(data, None)
        self.batches: list[Any] = []

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the data does not tell how many batches it has")
        return self._length - (self._length >= HELD_BACK_FROM)

    def __iter__(self) -> Iterator[Any]:
        batches = batches_of(self._data)
        self.batches = []
        if self._length is None:
            yield from self._all_but_the_last(batches)
            return
        for index, batch in enumerate(batches):
            if index >= len(self):
                self.batches.append(batch)
            else:
                yield batch

    def _all_but_the_last(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Give what comes, always one batch behind, since only its end tells which is the last."""
        read = 0
        waiting: list[Any] = []
        for batch in batches:
            yield from waiting
            waiting, read = [batch], read + 1
        if read >= HELD_BACK_FROM:
            self.batches = waiting
        else:
            yield from waiting


class Reading:
    """Reads data batch by batch, tells how far it is, and ends early where that is asked for.

    Parameters
    ----------
    data
        Batches.
    on_batch
        Called with the number of samples read so far, before each batch and at the end.
    stopped
        Asked before each batch; where it gives True the data ends there.
    """

    def __init__(self, data: Iterable[Any], on_batch: Callable[[int], None], stopped: Callable[[], bool]) -> None:
        self._data, self._on_batch, self._stopped = data, on_batch, stopped
        self.samples = 0
        self.ended_early = False

    def __iter__(self) -> Iterator[Any]:
        self._on_batch(0)
        for batch in batches_of(self._data):
            if self._stopped():
                self.ended_early = True
                return
            yield batch
            self.samples += size_of(batch)
            self._on_batch(self.samples)


def _plain(batch: Any) -> Any:
    return dict(batch) if isinstance(batch, Mapping) else batch


def _has_samples(leaf: Any) -> bool:
    return isinstance(leaf, Tensor | np.ndarray) and leaf.ndim > 0


def _cut(batch: Any, size: int, samples: int) -> Any:
    def cut(leaf: Any) -> Any:
        return leaf[:samples] if _has_samples(leaf) and len(leaf) == size else leaf

    return pytree.tree_map(cut, _plain(batch))

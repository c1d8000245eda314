"""Batches as samples: counted, cut, held back, read until somebody says stop."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, TensorDataset

from qwidgets.examples import digits
from qwidgets.session import HeldBack, can_be_read_again
from qwidgets.session.samples import Reading, first, size_of, total_of


def streamed(count: int) -> Iterator[int]:
    yield from range(count)


def test_a_loader_tells_how_many_samples_it_has() -> None:
    data = TensorDataset(torch.zeros(450, 3))
    assert total_of(digits().test) == 450
    assert total_of(DataLoader(data, batch_size=64)) == 450
    assert total_of(DataLoader(data, batch_size=64, drop_last=True)) == 448
    assert total_of([torch.zeros(3, 2), torch.zeros(5, 2)]) == 8
    assert total_of(streamed(3)) is None


@pytest.mark.parametrize("kind", [lambda x: x, lambda x: (x, x[:, 0]), lambda x: {"x": x, "y": x[:, 0]}])
def test_the_first_samples_are_those_with_which_the_data_begins(kind: Any) -> None:
    x = torch.arange(60.0).reshape(30, 2)
    found = first([kind(batch) for batch in x.split(8)], 20)
    assert [size_of(batch) for batch in found] == [8, 8, 4]
    parts = [batch if isinstance(batch, Tensor) else pytree.tree_leaves(batch)[0] for batch in found]
    assert torch.equal(torch.cat(parts), x[:20])


def test_data_that_is_shorter_is_given_as_it_is() -> None:
    assert [len(batch) for batch in first([torch.zeros(3, 2)], 128)] == [3]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_the_last_batch_is_held_back_where_one_can_be_spared(count: int, known: bool) -> None:
    data = HeldBack(list(range(count)) if known else streamed(count))
    spared = count >= 4
    assert list(data) == list(range(count - spared))
    assert data.batches == ([count - 1] if spared else [])
    if known:
        assert len(data) == count - spared
    else:
        with pytest.raises(TypeError):
            len(data)


def test_only_what_begins_anew_can_be_read_again() -> None:
    assert can_be_read_again([1, 2])
    assert can_be_read_again(digits().test)
    assert not can_be_read_again(streamed(3))
    assert not can_be_read_again(None)


def test_reading_tells_the_samples_so_far_and_ends_when_it_is_stopped() -> None:
    told: list[int] = []
    reading = Reading(torch.zeros(10, 2).split(4), told.append, lambda: len(told) > 2)
    assert [len(batch) for batch in reading] == [4, 4]
    assert told == [0, 4, 8]
    assert reading.ended_early
    whole = Reading(torch.zeros(10, 2).split(4), told.append, lambda: False)
    assert [len(batch) for batch in whole] == [4, 4, 2]
    assert (whole.samples, whole.ended_early) == (10, False)

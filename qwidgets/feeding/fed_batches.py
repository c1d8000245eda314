"""Batches as a network is fed with them to be judged: its arguments, checked, and the targets beside them."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from qwidgets.errors import DataError
from qwidgets.feeding.batches import batches_of, call_of, to_device
from qwidgets.network import Network


@dataclass(frozen=True)
class Fed:
    """One batch.

    Attributes
    ----------
    args, kwargs
        What the model is called with.
    leaves
        The same, flat, in the order in which the network's graph takes it.
    targets
        What the batch holds beyond that; None if there is nothing.
    index
        Its number in the data, from 0.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    leaves: list[Any]
    targets: Any
    index: int


def fed(network: Network, model: nn.Module, data: Iterable[Any], device: torch.device) -> Iterator[Fed]:
    """Give the batches of data on a device.

    Raises
    ------
    DataError
        There is none, or one cannot be read or fed: its number is named.
    """
    index = -1
    for index, batch in enumerate(read(data)):
        try:
            placed = to_device(batch, device)
            args, kwargs = call_of(model, placed)
            leaves = network.flatten(args, kwargs)
        except Exception as error:
            raise not_fed(network, index, error) from error
        yield Fed(args, kwargs, leaves, _targets(placed, (args, kwargs)), index)
    if index < 0:
        raise DataError("there is no batch in the data; is the loader used up?")


def read(data: Iterable[Any]) -> Iterator[Any]:
    """Give the batches, and name the one that cannot be read."""
    batches = batches_of(data)
    for index in itertools.count():
        try:
            batch = next(batches)
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f"batch {index} cannot be read: {error}") from error
        yield batch


def not_fed(network: Network, index: int, error: Exception) -> DataError:
    """Say which batch it was that a network could not compute."""
    return DataError(f"batch {index} cannot be fed to {network.name}: {error}")


def _targets(batch: Any, call: Any) -> Any:
    used = {id(leaf) for leaf in pytree.tree_leaves(call)}

    def is_left(part: Any) -> bool:
        return not any(id(leaf) in used for leaf in pytree.tree_leaves(part))

    if isinstance(batch, Mapping):
        left: Any = {key: value for key, value in batch.items() if is_left(value)}
        return next(iter(left.values())) if len(left) == 1 else left or None
    if isinstance(batch, list | tuple):
        left = tuple(part for part in batch if is_left(part))
        return left[0] if len(left) == 1 else left or None
    return None

"""What a data loader yields, as the arguments that a model is called with.

The rule is decided by the signature of the model's ``forward`` alone, so that it can be told beforehand:

- a tensor is the one argument;
- a tuple or list gives its first parts to the parameters that ``forward`` cannot do without, one at least; what is left
  over (the targets) is not used. ``((a, b), target)`` works for a ``forward`` that needs two;
- a dict whose keys are parameters of ``forward``, all that it cannot do without among them, is passed by name, and
  other keys are not used; any other dict is the one argument.

NumPy arrays become tensors of the same type. Whatever needs another rule is fed by a function of the user's.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.errors import DataError

Call = tuple[tuple[Any, ...], dict[str, Any]]


def batches_of(data: Any) -> Iterator[Any]:
    """Give what iterates over the batches; one tensor or array is one batch.

    Raises
    ------
    DataError
        ``data`` is nothing that yields batches.
    """
    if isinstance(data, Tensor | np.ndarray):
        return iter([data])
    if isinstance(data, str | bytes | Mapping) or not hasattr(data, "__iter__"):
        raise DataError(
            f"data must be an iterable of batches, not {type(data).__name__}; for a single batch pass a list of it"
        )
    return iter(data)


def length_of(data: Any, max_batches: int | None) -> int | None:
    """How many batches there will be, if the data tells.

    Raises
    ------
    DataError
        ``max_batches`` is no number of batches.
    """
    if max_batches is not None and (not isinstance(max_batches, int | np.integer) or max_batches < 0):
        raise DataError(f"max_batches is a whole number of batches, or None for all, not {max_batches!r}")
    try:
        length = 1 if isinstance(data, Tensor | np.ndarray) else len(data)
    except TypeError:
        return max_batches if max_batches is not None and not hasattr(data, "__len__") else None
    return length if max_batches is None else min(length, max_batches)


def to_device(batch: Any, device: torch.device) -> Any:
    """Give a batch with its tensors and arrays as tensors on a device, in the containers in which they came.

    Raises
    ------
    DataError
        An array holds no numbers.
    """
    if isinstance(batch, np.ndarray):
        try:
            batch = torch.from_numpy(batch)
        except (TypeError, ValueError) as error:
            raise DataError(f"an array of {batch.dtype} cannot be fed to a network: {error}") from error
    if hasattr(batch, "to"):  # a tensor, a packed sequence, the batch classes of other libraries
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def call_of(model: nn.Module, batch: Any) -> Call:
    """Give the positional and named arguments with which a batch is fed to a model, as the module's text tells.

    Raises
    ------
    DataError
        The batch has too few parts, or holds no tensor.

    Examples
    --------
    >>> args, kwargs = call_of(nn.Linear(4, 2), (torch.zeros(8, 4), torch.zeros(8)))
    >>> len(args), args[0].shape, kwargs
    (1, torch.Size([8, 4]), {})
    """
    call = _call_of(_Parameters(model), batch)
    if not any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(call)):
        raise DataError(
            f"a batch is {_kind(batch)}, in which there is no tensor for the network; yield tensors, tuples or dicts "
            "of tensors, or pass forward=lambda model, batch: ... to feed it yourself"
        )
    return call


class _Parameters:
    """What a model's ``forward`` takes."""

    def __init__(self, model: nn.Module) -> None:
        parameters = inspect.signature(model.forward).parameters.values()
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.names = [p.name for p in parameters if p.kind in (*positional, inspect.Parameter.KEYWORD_ONLY)]
        self.needed = [p.name for p in parameters if p.name in self.names and p.default is p.empty]
        self.first = [p.name for p in parameters if p.kind in positional and p.default is p.empty]
        self.any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _call_of(parameters: _Parameters, batch: Any) -> Call:
    if isinstance(batch, Mapping):
        known = {name: value for name, value in batch.items() if name in parameters.names or parameters.any_name}
        if known and all(name in known for name in parameters.needed):
            return (), known
        return (batch,), {}
    if not isinstance(batch, list | tuple):
        return (batch,), {}
    needed = max(len(parameters.first), 1)
    if needed > 1 and batch and isinstance(batch[0], list | tuple) and len(batch[0]) >= needed:
        return tuple(batch[0][:needed]), {}
    if needed == 1 and batch and isinstance(batch[0], Mapping):
        return _call_of(parameters, batch[0])
    if len(batch) < needed:
        raise DataError(
            f"a batch has {len(batch)} part{'s' * (len(batch) != 1)}, but the network's forward needs {needed}: "
            f"{', '.join(parameters.first) or 'an input'}; pass forward=lambda model, batch: ... to feed it yourself"
        )
    return tuple(batch[:needed]), {}


def _kind(batch: Any) -> str:
    if isinstance(batch, list | tuple) and batch:
        return f"a {type(batch).__name__} of {', '.join(sorted({type(part).__name__ for part in batch}))}"
    return f"of type {type(batch).__name__}"

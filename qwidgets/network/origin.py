"""The state of a model when it was captured, so that what was captured is used as long as the model stays as it was.

A capture depends on the model's modules, on their attributes, and on where their tensors lie. :class:`Origin` remembers
all of these, by identity where a value is no plain one: another layer in the place of one, a hook, a changed setting,
a move to another device are all noticed. What the weights hold is compared by `qwidgets.network.Network.is_of`.
"""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type, type(None), torch.dtype, torch.device, torch.Size)
_TABLES = frozenset(["_parameters", "_buffers"])
_IRRELEVANT = frozenset(["training", "_modules"])
_DEPTH = 4
"""Lists in lists are looked into so far; what lies deeper is taken for what it is by identity."""


class Origin:
    """A model as it was at one moment."""

    def __init__(self, model: nn.Module, device: torch.device | None) -> None:
        self.device = device
        self._model = weakref.ref(model)
        self._marks = list(_marks(model))

    def is_still(self, model: nn.Module) -> bool:
        """Whether this is the model, and nothing of it was changed, the values of its tensors apart."""
        return self._model() is model and self._marks == list(_marks(model))


class _Same:
    """Equals only what holds the very same object."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up


def _marks(model: nn.Module) -> Iterator[Any]:
    for path, module in model.named_modules(remove_duplicate=False):
        yield path, _Same(type(module))
        for name, value in vars(module).items():
            if name in _TABLES:
                yield name, [(key, _mark(tensor)) for key, tensor in value.items()]
            elif name not in _IRRELEVANT:
                yield name, _mark(value)


def _mark(value: Any, depth: int = 0) -> Any:
    if isinstance(value, Tensor):
        return _Same(value), value.device, value.dtype, value.shape
    if isinstance(value, _PLAIN):
        return type(value), value
    if depth < _DEPTH and type(value) in (list, tuple, set, frozenset):
        return type(value), [_mark(item, depth + 1) for item in value]
    if depth < _DEPTH and isinstance(value, dict):
        return type(value), [(_mark(key, depth + 1), _mark(item, depth + 1)) for key, item in value.items()]
    return _Same(value)

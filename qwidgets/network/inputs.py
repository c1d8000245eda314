"""What a captured network is fed: the tree of its inputs with a shape and a type in the place of each tensor.

It checks that a batch fits before the network sees it, makes an example that a network can be captured with when no
data is at hand, and is plain enough to be written to JSON.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from qwidgets.errors import DataError


@dataclass(frozen=True)
class TensorSpec:
    """Shape (None where it may differ from batch to batch) and element type of one input tensor.

    Where more than the first size may differ, ``example`` has sizes that go together.
    """

    shape: tuple[int | None, ...]
    dtype: torch.dtype
    example: tuple[int, ...] = field(default=(), compare=False)

    def accepts(self, value: object) -> bool:
        """Whether a tensor has this shape and type."""
        return (
            isinstance(value, torch.Tensor)
            and value.dtype == self.dtype
            and value.ndim == len(self.shape)
            and all(mine is None or mine == its for mine, its in zip(self.shape, value.shape, strict=True))
        )

    def varying(self, value: object) -> frozenset[int]:
        """Give the dimensions in which a tensor has another size than is fixed; none where its type differs too."""
        if not isinstance(value, torch.Tensor) or value.dtype != self.dtype or value.ndim != len(self.shape):
            return frozenset()
        sizes = enumerate(zip(self.shape, value.shape, strict=True))
        return frozenset(dim for dim, (mine, its) in sizes if mine is not None and mine != its)

    def widened(self, other: "TensorSpec") -> "TensorSpec":
        """Give one whose sizes are free where they are in either, or differ."""
        shape = tuple(mine if mine == its else None for mine, its in zip(self.shape, other.shape, strict=True))
        if shape == self.shape:
            return self
        example = other.example or self.example or tuple(2 if size is None else size for size in self.shape)
        return TensorSpec(shape, self.dtype, example)

    def zeros(self, batch: int, device: torch.device | str) -> torch.Tensor:
        """Make a tensor that fits, ``batch`` long where the first size is free."""
        sizes = [batch if dim == 0 or not self.example else self.example[dim] for dim in range(len(self.shape))]
        sizes = [free if size is None else size for size, free in zip(self.shape, sizes, strict=True)]
        return torch.zeros(sizes, dtype=self.dtype, device=device)

    def advice_for(self, value: object) -> str:
        """What to do with a tensor that has another first dimension only, where the network's code fixes that one."""
        if not isinstance(value, torch.Tensor) or not self.shape or self.shape[0] is None:
            return ""
        free = TensorSpec((None, *self.shape[1:]), self.dtype)
        return "; its code fixes the batch: give batches of that size (drop_last=True)" if free.accepts(value) else ""

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"({sizes}) {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class InputSpec:
    """The positional and named arguments of a network: a `TensorSpec` for each tensor, other values as they are.

    Examples
    --------
    >>> spec = InputSpec((TensorSpec((None, 3), torch.float32),), {})
    >>> args, kwargs = spec.example()
    >>> args[0].shape
    torch.Size([2, 3])
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def flatten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Give the leaves of a call's arguments in this order.

        Raises
        ------
        DataError
            The arguments are nested differently, or one has another shape, type or value than the example had.
        """
        if set(kwargs) == set(self.kwargs):
            kwargs = {name: kwargs[name] for name in self.kwargs}
        expected, structure = pytree.tree_flatten((self.args, self.kwargs), is_leaf=_is_spec)
        given, its_structure = pytree.tree_flatten((tuple(args), kwargs))
        if its_structure != structure:
            raise DataError(
                f"the arguments are nested differently from the example's: {_outline(args, kwargs)} "
                f"instead of {_outline(self.args, self.kwargs)}"
            )
        for position, (spec, value) in enumerate(zip(expected, given, strict=True)):
            if isinstance(spec, TensorSpec):
                if not spec.accepts(value):
                    raise DataError(
                        f"input {position} is {_describe(value)}, but the network was captured for {spec}"
                        + spec.advice_for(value)
                    )
            elif isinstance(value, torch.Tensor) or value != spec:
                raise DataError(f"input {position} is {_describe(value)}, but the network was captured for {spec!r}")
        return given

    def example(self, device: torch.device | str = "cpu", batch: int = 2) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make arguments of zeros that fit, ``batch`` long where the length is free."""
        args, kwargs = pytree.tree_map(
            lambda spec: spec.zeros(batch, device) if isinstance(spec, TensorSpec) else spec,
            (self.args, self.kwargs),
            is_leaf=_is_spec,
        )
        return args, kwargs

    @property
    def free(self) -> "FreeSizes":
        """The sizes beside the batch that may differ from call to call."""
        leaves = enumerate(pytree.tree_leaves((self.args, self.kwargs), is_leaf=_is_spec))
        return frozenset(
            (position, dim)
            for position, spec in leaves
            if isinstance(spec, TensorSpec)
            for dim, size in enumerate(spec.shape)
            if dim and size is None
        )

    def varying(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "FreeSizes":
        """Give the sizes in which a call differs from what is fixed; none where it differs in something else too.

        Examples
        --------
        >>> spec = InputSpec((TensorSpec((None, 3, 8), torch.float32),), {})
        >>> spec.varying((torch.zeros(2, 3, 12),), {})
        frozenset({(0, 2)})
        """
        if set(kwargs) != set(self.kwargs):
            return frozenset()
        kwargs = {name: kwargs[name] for name in self.kwargs}
        expected, structure = pytree.tree_flatten((self.args, self.kwargs), is_leaf=_is_spec)
        given, its_structure = pytree.tree_flatten((tuple(args), kwargs))
        if its_structure != structure:
            return frozenset()
        pairs = list(enumerate(zip(expected, given, strict=True)))
        found = frozenset(
            (position, dim)
            for position, (spec, value) in pairs
            if isinstance(spec, TensorSpec)
            for dim in spec.varying(value)
        )
        others = {position for position, (spec, value) in pairs if not _fits(spec, value)}
        return found if others == {position for position, _ in found} else frozenset()

    def widened(self, other: "InputSpec") -> "InputSpec":
        """Give one that takes what either of two takes that differ in sizes alone."""
        mine, structure = pytree.tree_flatten((self.args, self.kwargs), is_leaf=_is_spec)
        its = pytree.tree_leaves((other.args, other.kwargs), is_leaf=_is_spec)
        leaves = [
            one.widened(another) if isinstance(one, TensorSpec) else one for one, another in zip(mine, its, strict=True)
        ]
        args, kwargs = pytree.tree_unflatten(leaves, structure)
        return InputSpec(args, kwargs)

    def to_json(self) -> Any:
        """Give it as values that JSON can hold.

        Raises
        ------
        DataError
            An argument is of a kind that JSON cannot hold.
        """
        return {"args": [_to_json(value) for value in self.args], "kwargs": _to_json(self.kwargs)}

    @classmethod
    def from_json(cls, data: Any) -> "InputSpec":
        """Read what `to_json` gave."""
        return cls(tuple(_from_json(value) for value in data["args"]), _from_json(data["kwargs"]))


FreeSizes = frozenset[tuple[int, int]]
"""Sizes that may differ from call to call, the batch apart: the position of the argument, flat, and the dimension."""


def _fits(spec: Any, value: Any) -> bool:
    if isinstance(spec, TensorSpec):
        return spec.accepts(value)
    return not isinstance(value, torch.Tensor) and value == spec


def _is_spec(value: object) -> bool:
    return isinstance(value, TensorSpec)


def _describe(value: object) -> str:
    return str(TensorSpec(tuple(value.shape), value.dtype)) if isinstance(value, torch.Tensor) else repr(value)


def _outline(args: Any, kwargs: Any) -> str:
    """Give a call as text, without values: ``(tensor, [tensor, tensor], mask=tensor)``."""

    def text(value: Any) -> str:
        if isinstance(value, torch.Tensor | TensorSpec):
            return "tensor"
        if isinstance(value, tuple | list):
            return "[" + ", ".join(text(item) for item in value) + "]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key}: {text(item)}" for key, item in value.items()) + "}"
        return type(value).__name__

    return "(" + ", ".join([*map(text, args), *(f"{name}={text(value)}" for name, value in kwargs.items())]) + ")"


def _to_json(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        known = {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        return {"tensor": known | ({"example": list(value.example)} if value.example else {})}
    if type(value) in (tuple, list):
        return {type(value).__name__: [_to_json(item) for item in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _to_json(item) for key, item in value.items()}}
    if value is None or type(value) in (bool, int, float, str):
        return {"value": value}
    raise DataError(f"an argument of type {type(value).__name__} cannot be saved")


def _from_json(data: dict[str, Any]) -> Any:
    ((kind, value),) = data.items()
    if kind == "tensor":
        example = tuple(value.get("example", ()))
        if example and len(example) != len(value["shape"]):
            raise DataError(f"an example of {len(example)} sizes cannot be of {len(value['shape'])} dimensions")
        return TensorSpec(tuple(value["shape"]), getattr(torch, value["dtype"]), example)
    if kind in ("tuple", "list"):
        items = [_from_json(item) for item in value]
        return tuple(items) if kind == "tuple" else items
    return {key: _from_json(item) for key, item in value.items()} if kind == "dict" else value

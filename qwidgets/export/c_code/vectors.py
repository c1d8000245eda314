"""What the self-test compares with: the codes of every tensor, as the quantized network computes them."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.calibration import Calibration
from qwidgets.errors import DataError
from qwidgets.feeding import batches_of, call_of, to_device
from qwidgets.formats import FixedPoint
from qwidgets.network import Operation, TensorSpec
from qwidgets.simulation import QuantizedNetwork, whole_number_codes

EXAMPLES = 4
"""At most as many examples become vectors."""


def codes_of(quantized: QuantizedNetwork, leaves: list[Any], free: list[bool]) -> dict[str, list[Tensor]]:
    """Give, by row, the codes of each of the first examples of a batch; inputs of integers are rows, too.

    Parameters
    ----------
    leaves
        The arguments of a call, flat.
    free
        Which of them are tensors whose first dimension counts examples; where there are none, all is one example.
    """
    found: dict[str, list[Tensor]] = {}
    formats = quantized.program.formats

    def observe(row: str, values: Tensor) -> None:
        fmt = formats[row]
        if isinstance(fmt, FixedPoint):
            found.setdefault(row, []).append(fmt.to_integer(values).cpu())

    lengths = [leaf.shape[0] for leaf, counts in zip(leaves, free, strict=True) if counts]
    examples = min(*lengths, EXAMPLES) if lengths else 1
    for number in range(examples):
        one = [leaf[number : number + 1] if counts else leaf for leaf, counts in zip(leaves, free, strict=True)]
        for node, leaf in zip(quantized.network.given, one, strict=True):
            if isinstance(leaf, Tensor) and not leaf.is_floating_point():
                found.setdefault(f"input.{node.target}", []).append(leaf.cpu().to(torch.int64))
        with torch.no_grad():
            quantized.program.run(quantized, one, observe)
    return found


def first_call(quantized: QuantizedNetwork, model: Any, data: Any) -> list[Any]:
    """Give the flat arguments of the call that the first batch of some data makes.

    Raises
    ------
    DataError
        There is no batch, no example in it, or it does not fit the network.
    """
    batch = next(batches_of(data), None)
    if batch is None:
        raise DataError("data holds no batch to make test vectors of; pass at least one example")
    args, kwargs = call_of(model, to_device(batch, quantized.device))
    leaves = quantized.network.flatten(args, kwargs)
    if not all(leaf.numel() for leaf in leaves if isinstance(leaf, Tensor)):
        raise DataError("the first batch holds no example to make test vectors of")
    return leaves


def noise_call(quantized: QuantizedNetwork, calibration: Calibration) -> list[Any]:
    """Give the flat arguments of a call with noise, uniform between the ends of what each input was calibrated with.

    Integers are any that their type has, and where they are numbers of rows in a table, any that the table has.
    """
    args, kwargs = quantized.network.inputs.example(quantized.device, batch=EXAMPLES)
    leaves = quantized.network.inputs.flatten(args, kwargs)
    generator = torch.Generator().manual_seed(0)
    given = quantized.network.given
    for position, node in enumerate(given):
        row = node.slot
        if row is not None:
            seen, zeros = calibration[row], leaves[position]
            noise = torch.rand(zeros.shape, generator=generator, dtype=torch.float64)
            leaves[position] = (seen.min + noise * (seen.max - seen.min)).to(zeros)
        elif isinstance(leaves[position], Tensor) and not leaves[position].is_floating_point():
            zeros, (low, high) = leaves[position], _ends(node)
            leaves[position] = torch.randint(low, high, zeros.shape, generator=generator).to(zeros)
    return leaves


def _ends(node: Operation) -> tuple[int, int]:
    """Give the least integer that an input can be, and the first that it cannot."""
    value = node.value
    assert isinstance(value, Tensor)
    codes = whole_number_codes(value.dtype) if value.dtype.itemsize == 1 else None
    low, high = (0, 2) if codes is None else (codes.low, codes.high + 1)
    rows = [table.shape[0] for table in _tables(node)]
    return (0, int(min(rows))) if rows else (low, high)


def _tables(node: Operation) -> Iterator[Tensor]:
    """Find the tables in which integers, or what is made of them, are looked up."""
    for user in node.users:
        table = user.args[0] if user.is_lookup else None
        if isinstance(table, Operation) and isinstance(value := table.value, Tensor):
            yield value
        elif not user.is_float:
            yield from _tables(user)


def counting_examples(quantized: QuantizedNetwork) -> list[bool]:
    """Tell which of the flat arguments of a call count examples along their first dimension."""
    inputs = quantized.network.inputs
    specs = pytree.tree_leaves((inputs.args, inputs.kwargs), is_leaf=lambda value: isinstance(value, TensorSpec))
    return [isinstance(spec, TensorSpec) and bool(spec.shape) and spec.shape[0] is None for spec in specs]

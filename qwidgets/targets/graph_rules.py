"""Why a plan is nothing for a target, as only the network shows: what is fused, shifted, added and joined.

Each function looks at one rule over all layers or operations of a :class:`qwidgets.simulation.program.Program`, which
knows the step of every sum.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.formats import AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.network import Layer, Network, Operation
from qwidgets.simulation import Program
from qwidgets.targets.format_rules import Misfit
from qwidgets.targets.target import Target, storage
from qwidgets.tuning import Format


def of_fused_operations(target: Target, network: Network, program: Program) -> Iterator[Misfit]:
    """Name what a row has beside its own operation, such as a clamp, and the target does not compute."""
    own = {row.name: row.operation for row in network.rows}
    found = ((node.row, node.name) for node in program.arguments)
    for row, name in dict.fromkeys(found):
        if name != own.get(row) and not target.computes(name):
            yield Misfit(
                row,
                f"has a {name} in it, which {target.title} does not compute in these integers",
                "export the part of the network without it, or replace the operation",
            )
        elif name != own.get(row) and target.fuses is not None and name not in target.fuses:
            yield Misfit(
                row,
                f"applies its {name} to sums, and {target.title} rounds those before it, to a window of its own",
                "replace it by a ReLU or a clamp",
            )


def of_shifts(target: Target, network: Network, program: Program) -> Iterator[Misfit]:
    """Name the layers whose sums would have to be shifted further than the target can."""
    if target.shifts is None:
        return
    least, most = target.shifts
    for layer, steps in _summing(network, program):
        output = program.formats[layer.output_row]
        if output is None:
            continue
        right = output.lsb - steps
        for shift, excess in (
            (int(right.max()), int(right.max()) - most),
            (int(right.min()), least - int(right.min())),
        ):
            if excess <= 0:
                continue
            moves = ("lower", "raise") if shift > most else ("raise", "lower")
            yield Misfit(
                layer.output_row,
                f"its sums would be shifted right by {shift} bits, and {target.title} shifts by {least} to {most}",
                f"{moves[0]} its window, or {moves[1]} that of {layer.weight_row!r}, by {excess} bits",
            )


def of_biases(target: Target, network: Network, program: Program, formats: Mapping[str, Format]) -> Iterator[Misfit]:
    """Name the biases that do not fit their storage once they are brought to the step of their layer's sums.

    ``formats`` are the plan's own, which tell a bias at its accumulator from one that has the same window.
    """
    if target.bias == "any":
        return
    for layer, steps in _summing(network, program):
        fmt = None if layer.bias_row is None else program.formats[layer.bias_row]
        output = program.formats[layer.output_row]
        if layer.bias_row is None or fmt is None or output is None:
            continue
        bits = target.bias_bits.get(storage(output.word_length))
        if bits is None:  # a word length that the target has not
            continue
        values = network.parameters[layer.bias_row].double().cpu()
        if not isinstance(formats[layer.bias_row], AccumulatorFormat):
            values = fmt.from_integer(program.codes[layer.bias_row])
        aligned = (values / torch.exp2(steps.double())).round()
        largest = float(torch.maximum(aligned, -1 - aligned).max())
        if largest >= 2.0 ** (bits - 1):
            needed = int(largest).bit_length() + 1
            yield Misfit(
                layer.bias_row,
                f"needs {needed} bits at the step of its layer's sums, and {target.title} stores {bits}",
                f"raise the window of {layer.weight_row!r} or of what {layer.name!r} reads by {needed - bits} bits",
            )


def of_words(target: Target, program: Program) -> Iterator[Misfit]:
    """Name the operations whose results are stored in another width than what they are computed of."""
    if target.mixes_words:
        return
    seen = set()
    for node, given in program.arguments.items():
        row = node.row
        output = program.formats.get(row)
        for source in _read(given, program):
            fmt = program.formats[source]
            if output is None or fmt is None or (row, source) in seen:
                continue
            if storage(fmt.word_length) != storage(output.word_length):
                seen.add((row, source))
                yield Misfit(
                    row,
                    f"is stored in {storage(output.word_length)} bits and {source!r}, which it is computed of, in "
                    f"{storage(fmt.word_length)}, and {target.title} has one width for both",
                    f"plan.propose({fmt.word_length}, names=[{row!r}], target={target.name!r}), or the other way round",
                )


def of_shared(target: Target, network: Network, formats: Mapping[str, Format]) -> Iterator[Misfit]:
    """Name the tensors that enter a sum or a concatenation with another window than the result has."""
    for result, operand in dict.fromkeys(sharing(target, network)):
        one, other = formats[result], formats[operand]
        if not isinstance(one, FixedPoint) or not isinstance(other, FixedPoint):
            continue
        if (one.word_length, one.fraction_length, one.signed) != (
            other.word_length,
            other.fraction_length,
            other.signed,
        ):
            yield Misfit(
                operand,
                f"has another window than {result!r}, which it enters, and {target.title} has one for both",
                f"plan[{operand!r}] = dataclasses.replace(plan[{operand!r}], word_length={one.word_length}, "
                f"fraction_length={one.fraction_length}, signed={one.signed})",
            )


def sharing(target: Target, network: Network) -> Iterator[tuple[str, str]]:
    """Give the results and operands that are to have one window, in pairs."""
    for joining in network.operations:
        if joining.name not in target.shared:
            continue
        end = joining
        while end.slot is None and len(end.users) == 1:  # through the activation function that is fused
            end = end.users[0]
        for operand in joining.operands:
            if end.slot is not None and operand.source.slot is not None:
                yield end.slot, operand.source.slot


def of_float_islands(target: Target, network: Network, program: Program) -> Iterator[Misfit]:
    """Name what is computed in float, where the target has none, and its operation was not named already."""
    own = {row.name: row.operation for row in network.rows}
    for row, reason in program.float_islands.items():
        if not target.floats and target.computes(own.get(row, "")):
            yield Misfit(
                row,
                f"is computed in float, since {reason}, and {target.title} has no float",
                "give what is named a format, or export the part of the network without it",
            )


def _summing(network: Network, program: Program) -> Iterator[tuple[Layer, Tensor]]:
    """Give the layers that sum in integers, and the position of the step of each output channel's sums."""
    for layer in network.layers:
        weight = program.formats[layer.weight_row]
        if layer.head not in program.sums or weight is None:
            continue
        finest = program.sums[layer.head].lsb
        shifts = [weight.lsb]
        if isinstance(weight, PerChannel):
            shifts = [-length for length in weight.fraction_lengths]
        yield layer, torch.tensor([finest + shift - weight.lsb for shift in shifts])


def _read(given: Any, program: Program) -> Iterator[str]:
    """Give the rows of the activations that an operation reads."""
    for value in pytree.tree_leaves(dict(given)):
        if isinstance(value, Operation) and value.is_float:
            row = value.source.slot
            if row is not None and isinstance(program.formats[row], FixedPoint):
                yield row

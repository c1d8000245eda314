"""Layers whose sums of two products may not fit the 16 bits in which some kernels add them.

x86 processors without VNNI multiply bytes by a pair of instructions that adds two products at a time, and saturates.
Activations are unsigned there: signed ones are shifted by 128 first, so that a sign does not help. A depthwise
convolution has a kernel of its own, which sums in 32 bits.
"""

from collections.abc import Iterator

from torch import Tensor

from qwidgets.formats import FixedPoint
from qwidgets.network import Layer, Network
from qwidgets.simulation import Program
from qwidgets.targets.format_rules import Misfit
from qwidgets.targets.target import Target

SAFE_WEIGHT_BITS = 7
"""Two products of such weights with any two bytes fit 16 bits: 2 * 255 * 64."""

_SUMMING = frozenset(["conv1d", "conv2d", "conv3d", "linear"])


def of_pair_sums(target: Target, network: Network, program: Program) -> Iterator[Misfit]:
    """Name the weights of which two products with the largest bytes that enter do not fit."""
    if target.pair_bits is None:
        return
    limit = 1 << (target.pair_bits - 1)
    for layer in network.layers:
        codes = _weight_codes(layer, program)
        if codes is None or layer.head not in program.arguments or _is_depthwise(layer, program):
            continue
        enters = program.operands[program.arguments[layer.head]["input"]].codes
        if enters.low < -128 or enters.high > 255:
            continue
        most = enters.high + (128 if enters.low < 0 else 0)
        pairs = codes.flatten(1)
        terms = min(2, pairs.shape[1])
        largest = int(pairs.topk(terms, 1).values.clamp(min=0).sum(1).max())
        least = int(pairs.topk(terms, 1, largest=False).values.clamp(max=0).sum(1).min())
        if most * largest >= limit or most * least < -limit:
            worst = max(most * largest, -most * least)
            yield Misfit(
                layer.weight_row,
                f"may add two products to {worst}, and {target.title} adds them in {target.pair_bits} bits, which hold "
                f"{limit - 1}, unless its session option session.x64quantprecision is 1",
                _remedy(target, layer, program),
            )


def _weight_codes(layer: Layer, program: Program) -> Tensor | None:
    """Give the codes of a layer's weight if they are signed bytes that are summed in pairs."""
    fmt = program.formats[layer.weight_row]
    if layer.operation not in _SUMMING or fmt is None or not fmt.signed or fmt.word_length > 8:
        return None
    return program.codes[layer.weight_row]


def _is_depthwise(layer: Layer, program: Program) -> bool:
    groups = program.arguments[layer.head].get("groups", 1)
    return groups > 1 and list(program.codes[layer.weight_row].shape[:2]) == [groups, 1]


def _remedy(target: Target, layer: Layer, program: Program) -> str:
    """Where what enters is signed for nothing, a bit less without a sign holds the same values, and sums fit."""
    source = program.arguments[layer.head]["input"].source
    row, before = source.slot, program.sums.get(source)
    fmt = program.formats.get(row) if row is not None else None
    if isinstance(fmt, FixedPoint) and fmt.signed and before is not None and before.low >= 0:
        return (
            f"plan[{row!r}] = dataclasses.replace(plan[{row!r}], word_length={fmt.word_length - 1}, signed=False), "
            "which holds the same values"
        )
    return f"plan.propose({SAFE_WEIGHT_BITS}, names=[{layer.weight_row!r}], target={target.name!r})"

"""A captured network with a format for each tensor, turned into steps that compute on integer codes.

A :class:`Program` walks the graph once and decides for each operation, from the formats alone, whether it has an
integer form (:mod:`qwidgets.simulation.rules`) or runs in float. It holds no tensors but the codes of constants;
whoever runs it lends it the rest.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, AccumulatorFormat, FixedPoint, PerChannel, before_double_rounding
from qwidgets.network import Layer, Network, Operation, is_exact_number
from qwidgets.simulation.accumulation import FLOAT64_HOLDS, Accumulator, Codes
from qwidgets.simulation.rules import RULES, Call, Exact, Operand, constant, whole_numbers
from qwidgets.tuning import NONE, Format

Observer = Callable[[str, Tensor], object]

BENDING = frozenset(["abs", "absolute", "leaky_relu", "prelu"])
"""What makes other numbers of sums, which are then rounded once."""

FLOAT32_REACHES = 127
"""Values from 2 to the power of this on may not be had in float32: what masks with the lowest of them, say."""


@dataclass(frozen=True)
class Parameter:
    """The values of a weight or bias row, in the place of an argument."""

    row: str


Lookup = Callable[[Any], Any]
"""Finds what stands behind an `Operation`, a `Parameter`, or a device that is written in the graph."""

Step = Callable[[Lookup], Any]
"""Computes what an operation gives, given a function that finds what it reads."""


class State(Protocol):
    """Where a program finds tensors while it runs, all on one device."""

    @property
    def device(self) -> torch.device:
        """Where that is."""
        ...

    def tensor(self, target: str) -> Tensor:
        """Give a parameter or buffer of the network."""
        ...

    def values(self, parameter: Parameter) -> Tensor:
        """Give the values of a weight or bias: codes times their step, or in float where the row is kept so."""
        ...


class Coding(Protocol):
    """What gives the integer codes of weights and biases: the adjustments of a plan."""

    def codes(self, row: str, fmt: FixedPoint | PerChannel, values: Tensor) -> Tensor:
        """Give the codes of a row under a format."""
        ...


class Program:
    """The steps of a network under some formats.

    Attributes
    ----------
    formats
        The format of each row; that of a bias at its accumulator, once its step is known.
    codes
        The integers of each weight and bias that has a format, int64, by row.
    float_islands
        Why a row is computed in float, for each that is.
    steps
        How each node of the graph is computed; one without a step is a placeholder, or not needed.
    accumulators
        The register that each row's sums are computed in.
    rows, constants
        The row of each node that gives one, and of each node that holds a weight, a bias or another constant.
    arguments
        By name, what each operation with an integer form is given: `Parameter` in the place of a weight or bias.
    sums
        What is known of the codes that such an operation gives, before its row's format is applied.
    operands
        What is known of the codes of each node after that; a node in float is not among them.
    """

    def __init__(
        self,
        network: Network,
        formats: Mapping[str, Format],
        accumulator_bits: int,
        adjustments: Coding = NONE,
    ) -> None:
        self.accumulators: dict[str, Accumulator] = {}
        self.float_islands: dict[str, str] = {}
        self.formats: dict[str, FixedPoint | PerChannel | None] = {
            row: None if isinstance(fmt, AccumulatorFormat) else fmt for row, fmt in formats.items()
        }
        self.codes = {
            row: adjustments.codes(row, fmt, values)
            for row, values in network.parameters.items()
            if (fmt := self.formats[row]) is not None
        }
        self._network = network
        self._asked = formats
        self._parameters = network.parameters
        self._bits = accumulator_bits
        self._layers = {layer.head: layer for layer in network.layers}
        self.arguments: dict[Operation, Mapping[str, Any]] = {}
        self.sums: dict[Operation, Codes] = {}
        self.operands: dict[Operation, Operand] = {}
        self.steps: dict[Operation, Step] = {}
        for node in network.operations:
            self._add(node)
            if node.slot is not None:
                self._quantize(node, self.formats[node.slot])

    def run(self, state: State, leaves: Sequence[Any], observe: Observer | None = None) -> Any:
        """Compute the outputs, in the model's structure, from the flat arguments of a call.

        ``observe(row, values)`` is called for each input and activation row.
        """
        return self._network.unflatten(run(self._network, self.steps, state, leaves, observe))

    def value(self, row: str) -> Tensor:
        """Give a weight or bias: codes times their step, or in float where the row is kept so."""
        fmt = self.formats[row]
        if fmt is None:
            return self._parameters[row]
        return fmt.from_integer(self.codes[row]).to(Codes.of(fmt).carrier)

    # Which step, and what is known of what it gives

    def _add(self, node: Operation) -> None:
        if node.constant is not None:
            parameter = Parameter(node.constant)
            self._set(node, lambda look: look(parameter), self.operand(parameter))
        elif node.kind == "output":
            self.steps[node] = lambda look: pytree.tree_map(lambda value: self._as_output(value, look), node.args[0])
        elif node.only_fills and node.is_float:
            self._fill(node)
        elif node.kind == "call":
            if node.is_folded:
                before = node.operands[0]
                self._set(node, lambda look: look(before), self.operands.get(before))
            elif node.only_moves:
                self._move(node)
            else:
                self._compute(node)

    def _fill(self, node: Operation) -> None:
        """A tensor of one number has the codes of that number, where it has any."""
        number = node.filled_with
        if number is None or not is_exact_number(number):
            if node.kind == "call":
                self._set(node, self._in_float(node, {}), None)
            return
        factor, lsb = constant(number)
        codes, shape = Codes(lsb, min(factor, 0), max(factor, 0)), node.shape
        if node.kind == "call":
            self._set(node, lambda look: call(node, {}, look).to(codes.carrier), Operand(codes, shape))
            return
        sizes = [size or 0 for size in shape]
        self._set(
            node,
            lambda look: torch.full(sizes, number, dtype=codes.carrier, device=look(torch.device("cpu"))),
            Operand(codes, shape, torch.full(sizes, factor)),
        )

    def _set(self, node: Operation, step: Step, operand: Operand | None) -> None:
        self.steps[node] = step
        if operand is not None:
            self.operands[node] = operand

    def operand(self, value: Any) -> Operand | None:
        """Give what is known of the codes of a node, a weight or a bias; None where it is in float."""
        if isinstance(value, Operation):
            return self.operands.get(value)
        if isinstance(value, Parameter) and value.row in self.codes:
            fmt, codes = self.formats[value.row], self.codes[value.row]
            assert fmt is not None
            shifts = None
            if isinstance(fmt, PerChannel):
                shifts = torch.tensor([-length - fmt.lsb for length in fmt.fraction_lengths])
            return Operand(Codes.of(fmt), tuple(codes.shape), codes, fmt.rounding, shifts)
        return None

    def _move(self, node: Operation) -> None:
        operand = self.operands.get(node.trail[1])
        if operand is None or not _fills_with(node, operand.codes):
            self._set(node, self._in_float(node, {}), None)
            return
        integers = operand.integers if operand.shifts is None else None
        if integers is not None:
            alone = node.operands == (node.trail[1],)
            integers = call(node, {}, lambda _: integers) if alone else None
        self._set(
            node,
            lambda look: call(node, {}, look),
            replace(operand, shape=node.shape, integers=integers, shifts=None, sums_in=None),
        )

    def _compute(self, node: Operation) -> None:
        given = dict(node.arguments)
        layer = self._layers.get(node)
        if layer is not None and layer.bias_row is not None:
            if node.is_batch_norm:
                given = {"input": given["input"], "weight": Parameter(layer.weight_row)}
            if isinstance(self._asked[layer.bias_row], AccumulatorFormat):
                self._place_bias(layer, self.operand(given["input"]))
            has_bias = "bias" in given or node.is_batch_norm  # addmm calls it otherwise
            if has_bias and self.operand(given.get("bias")) is None:
                given["bias"] = Parameter(layer.bias_row)
        exact, reason = self._exact(node, given)
        if exact is None:
            if reason:
                single = isinstance(node.value, Tensor)
                for given_by in [node] if single else [user for user in node.users if user.is_float]:
                    self.float_islands.setdefault(given_by.row, reason)
            self._set(node, self._in_float(node, given), None)
            return

        def step(look: Lookup) -> Any:
            return exact.run(pytree.tree_map(lambda value: _found(value, look), given))

        self.arguments[node], self.sums[node] = given, exact.codes
        self._set(node, step, Operand(exact.codes, node.shape, sums_in=exact.sums_in))

    def _place_bias(self, layer: Layer, x: Operand | None) -> None:
        """Give a bias the step of its layer's accumulator; it stays in float where the layer computes in float."""
        row, weight = layer.bias_row, self.formats[layer.weight_row]
        assert row is not None
        if x is None or weight is None:
            return
        fmt = ACCUMULATOR.holding(self._parameters[row], x.codes.lsb, weight)
        if self.formats[row] not in (None, fmt):
            raise PlanError(
                f"{row!r} is added to accumulators of different steps; give it a window instead: "
                f"plan.propose({weight.word_length}, names=[{row!r}]) and plan.commit()"
            )
        self.formats[row] = fmt
        self.codes[row] = fmt.to_integer(self._parameters[row])

    def _exact(self, node: Operation, given: Mapping[str, Any]) -> tuple[Exact | None, str]:
        """Give the integer form of an operation, or why it has none: "" where that matters to nobody."""
        name = node.name
        tensors = [value for value in pytree.tree_leaves(dict(given)) if _is_float_tensor(value)]
        known = [operand for value in tensors if (operand := self.operand(value)) is not None]
        whole = whole_numbers.operand_of if name in whole_numbers.READERS else lambda _: None
        if not _gives_floats(node) or not (tensors or any(map(whole, pytree.tree_leaves(dict(given))))):
            return None, ""
        if name not in RULES:
            return None, f"{name} has no integer form"
        if len(known) < len(tensors):
            missing = [self._source(value) for value in tensors if self.operand(value) is None]
            return None, f"{name} reads {' and '.join(dict.fromkeys(missing))} in float"
        accumulator = self.accumulators.setdefault(node.row, Accumulator(self._bits))
        arguments = pytree.tree_map(lambda value: self.operand(value) or whole(value) or value, dict(given))
        exact = None
        if all(operand.codes.divisor == 1 for operand in known):
            operation: Any = node.target
            exact = RULES[name](Call(name, arguments, operation, accumulator))
        if exact is None:
            return None, f"{name} has no integer form with these arguments"
        if exact.codes.lsb + exact.codes.largest.bit_length() > FLOAT32_REACHES:
            return None, f"{name} reaches beyond what a float32 holds"
        if exact.codes.largest > FLOAT64_HOLDS:
            return None, f"the integers of {name} need more than 53 bits"
        return exact, ""

    def _source(self, value: Operation | Parameter) -> str:
        """Name what a value comes from."""
        if isinstance(value, Parameter):
            return value.row
        source = value.source
        return source.constant or source.row

    def _quantize(self, node: Operation, fmt: FixedPoint | PerChannel | None) -> None:
        step: Step = self.steps.get(node) or (lambda look: look(node))
        given = self.operands.pop(node, None)
        if fmt is None:
            dtype = node.dtype
            self.steps[node] = lambda look: step(look).to(dtype)
            return
        assert isinstance(fmt, FixedPoint)  # formats per channel are for weights only
        codes, rounds = Codes.of(fmt), _rescaling(None if node.name in BENDING else given, fmt)
        self._set(node, lambda look: _quantized(rounds(step(look)), fmt, codes), Operand(codes, node.shape))

    def _in_float(self, node: Operation, given: Mapping[str, Any]) -> Step:
        """Run an operation as the model does, in the model's float type."""

        def look_in_float(look: Lookup) -> Lookup:
            def in_float(value: Any) -> Any:
                if isinstance(value, Parameter):
                    return look(value).to(node.dtype)
                found = look(value)
                coded = isinstance(value, Operation) and (value in self.operands or value.constant is not None)
                return found.to(value.dtype) if coded and isinstance(found, Tensor) else found

            return in_float

        return lambda look: call(node, given, look_in_float(look))

    def _as_output(self, value: Any, look: Lookup) -> Any:
        if not isinstance(value, Operation):
            return value
        operand = self.operands.get(value)
        if operand is None:
            return look(value)
        dtype = value.dtype
        return look(value).to(dtype if operand.codes.held_by(dtype) else torch.float64)


def run(
    network: Network, steps: Mapping[Operation, Step], state: State, leaves: Sequence[Any], observe: Observer | None
) -> Any:
    """Compute what steps give for the flat arguments of a call; what nobody reads any more is let go on the way."""
    values: dict[Operation, Any] = dict(zip(network.given, leaves, strict=True))

    def look(value: Any) -> Any:
        if isinstance(value, Parameter):
            return state.values(value)
        return state.device if isinstance(value, torch.device) else values[value]

    for operation in network.operations:
        if operation in steps:
            values[operation] = steps[operation](look)
        elif operation.kind == "constant":
            values[operation] = state.tensor(operation.target)
        if observe is not None and operation.slot is not None:
            observe(operation.slot, values[operation])
        for read in operation.last_reads:
            values.pop(read, None)
    return values[network.output]


def _rescaling(given: Operand | None, fmt: FixedPoint) -> Callable[[Tensor], Tensor]:
    """What is done to sums, of which something is known, before they are rounded once."""
    if fmt.rounding != "double" or given is None or given.codes.divisor > 1:
        return lambda values: values
    above = torch.zeros(()) if given.sums_in is None else given.sums_in
    steps = torch.exp2(above.double() + given.codes.lsb)
    return lambda values: before_double_rounding(values.double(), steps, fmt.step)


def _quantized(values: Tensor, fmt: FixedPoint, codes: Codes) -> Tensor:
    return fmt.quantize(values.to(torch.promote_types(values.dtype, codes.carrier))).to(codes.carrier)


def call(node: Operation, given: Mapping[str, Any], look: Lookup) -> Any:
    """Run an operation: on arguments by name where they are given, else on the node's own."""
    args, kwargs = ((), given) if given else (node.args, node.kwargs)
    args, kwargs = pytree.tree_map(lambda value: _found(value, look), (tuple(args), dict(kwargs)))
    target: Any = node.target
    if given and node.is_batch_norm:
        target = _scale_and_shift
    return target(*args, **kwargs)


def _scale_and_shift(**given: Tensor) -> Tensor:
    """A batch norm by itself, its statistics already in its weight and bias."""
    channels = (-1, *[1] * (given["input"].ndim - 2))
    return given["input"] * given["weight"].reshape(channels) + given["bias"].reshape(channels)


def _found(value: Any, look: Lookup) -> Any:
    if isinstance(value, Tensor):  # bounds of a clamp, one for each channel
        return value.to(look(value.device))
    return look(value) if isinstance(value, Operation | Parameter | torch.device) else value


def _is_float_tensor(value: Any) -> bool:
    return isinstance(value, Parameter) or (isinstance(value, Operation) and value.is_float)


def _gives_floats(node: Operation) -> bool:
    given = pytree.tree_leaves(node.value)
    return any(isinstance(value, Tensor) and value.is_floating_point() for value in given)


def _fills_with(node: Operation, codes: Codes) -> bool:
    """Whether what a moving operation fills up with, if anything, is a value that the codes have."""
    given = dict(node.arguments)
    if node.name not in ("constant_pad_nd", "pad", "masked_fill"):
        return True
    value = given.get("value")
    if not isinstance(value, int | float | None):
        return False
    code = (value or 0) / 2.0**codes.lsb
    return code == round(code) and codes.low <= code <= codes.high if math.isfinite(code) else False

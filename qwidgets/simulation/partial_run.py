"""A network run part of the way, from where it can be run to the end under other formats, again and again.

Who asks what the format of one tensor does to the output need not compute what lies before that tensor each time.
:class:`PartialRun` goes through a network from front to back, over all batches at once, and keeps of what it has
computed only what later operations read; :meth:`PartialRun.outputs` computes the rest under any formats. What it gives
are the very values that a run of the whole network gives.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import AutocastScope, Network, Operation
from qwidgets.simulation.program import Coding, Parameter, Program
from qwidgets.tuning import ACCUMULATOR_BITS, Format


class PartialRun:
    """A network under some formats, computed up to a position.

    A position is the index of the first node of the graph that is not computed yet. Kept in memory are the values that
    nodes from there on read, of all batches: in a chain of layers one activation, plus what skips over it.

    Parameters
    ----------
    network
        As adjusted.
    coding
        The plan's adjustments.
    formats
        Of all rows, those that the first part is computed with.
    batches
        For each, the flat arguments of a call. They must not be changed meanwhile.
    device
        Where to compute; the arguments lie there.
    accumulator_bits
        The width of the registers that sums are computed in.
    """

    def __init__(
        self,
        network: Network,
        coding: Coding,
        formats: Mapping[str, Format],
        batches: Sequence[Sequence[Any]],
        device: torch.device,
        accumulator_bits: int = ACCUMULATOR_BITS,
    ) -> None:
        self.position = 0
        self._accumulator_bits = accumulator_bits
        self._network = network
        self._operations = network.operations
        self._overwriting = [place for place, node in enumerate(self._operations) if _overwrites(node)]
        self._coding = _Remembered(coding)
        self._device = device
        self._batches = batches
        self._values = self._arguments()
        self._tensors: dict[str, Tensor] = {}
        self._parameters: dict[str, tuple[Tensor, Tensor]] = {}
        self._readers = _readers(network)
        self.formats = dict(formats)
        self.program = self.under(formats)

    def under(self, formats: Mapping[str, Format]) -> Program:
        """Give the network's program under some formats."""
        return Program(self._network, formats, self._accumulator_bits, self._coding)

    def start_of(self, row: str) -> int:
        """Give the position up to which the format of a row changes nothing, those of accumulators aside."""
        return self._outside_autocast(min(self._readers[row]))

    def start(self, rows: Iterable[str], program: Program) -> int:
        """As `start_of`, where ``program`` differs in some rows' formats: biases at accumulators change with them."""
        moved = [name for name in self._network.parameters if program.formats[name] != self.program.formats[name]]
        return min(map(self.start_of, (*rows, *moved)))

    def changed(self, formats: Mapping[str, Format]) -> Iterator[Any]:
        """Give the outputs of each batch with other formats of some rows; it computes up to the first of them."""
        program = self.under({**self.formats, **formats})
        self.advance(self.start(formats, program))
        return self.outputs(program)

    def advance(self, position: int) -> None:
        """Compute what lies before a position; if more is computed already, from the beginning."""
        if position < self.position:
            self.position, self._values = 0, self._arguments()
        for values in self._values:
            self._compute(values, self.program, range(self.position, position))
        self.position = position

    def adopt(self, formats: Mapping[str, Format], program: Program, position: int) -> None:
        """Go on with other formats, and their program, which change nothing before a position."""
        self.advance(min(position, self.position))
        self.formats, self.program = dict(formats), program

    def outputs(self, program: Program) -> Iterator[Any]:
        """Compute what is left under a program, and give the outputs of each batch in the model's structure."""
        later = any(place >= self.position for place in self._overwriting)
        for values in self._values:
            # An operation that works in place would spoil what the next run begins with.
            private = dict(zip(values, copy.deepcopy([*values.values()]) if later else values.values(), strict=True))
            outputs = self._compute(private, program, range(self.position, len(self._operations)))
            yield self._network.unflatten(outputs)

    def _arguments(self) -> list[dict[Operation, Any]]:
        batches = copy.deepcopy(self._batches) if self._overwriting else self._batches
        return [dict(zip(self._network.given, batch, strict=True)) for batch in batches]

    def _compute(self, values: dict[Operation, Any], program: Program, places: range) -> Any:
        """Compute some nodes after those whose values are given, and give what the last one gave."""

        def look(value: Any) -> Any:
            if isinstance(value, Parameter):
                return self._parameter(value.row, program)
            if isinstance(value, torch.device):
                return self._device
            if value.kind == "constant":
                step = program.steps.get(value)
                return self._tensor(value.target) if step is None else step(look)
            return values[value]

        result = None
        with torch.no_grad(), AutocastScope.switched_off():
            for place in places:
                node = self._operations[place]
                if node.kind != "constant" and node in program.steps:
                    result = values[node] = program.steps[node](look)
                for read in node.last_reads:
                    values.pop(read, None)
        return result

    def _tensor(self, target: str) -> Tensor:
        if target not in self._tensors:
            self._tensors[target] = self._network.tensor(target).to(self._device)
        return self._tensors[target]

    def _parameter(self, row: str, program: Program) -> Tensor:
        """Give a weight or bias, made anew only where its codes are others than at the last time."""
        source = program.codes[row] if program.formats[row] is not None else self._network.parameters[row]
        made = self._parameters.get(row)
        if made is None or made[0] is not source:
            made = self._parameters[row] = source, program.value(row).to(self._device)
        return made[1]

    def _outside_autocast(self, place: int) -> int:
        """Give the place, or where the section begins in which it is computed in another float type."""
        begun: list[int] = []
        for at, node in enumerate(self._operations[:place]):
            if node.name == "_enter_autocast":
                begun.append(at)
            elif node.name == "_exit_autocast":
                begun.pop()
        return begun[0] if begun else place


class _Remembered:
    """The codes of weights and biases under the last formats that each was asked for, so that they are made once."""

    KEPT = 2

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._made: dict[str, dict[FixedPoint | PerChannel, Tensor]] = {}

    def codes(self, row: str, fmt: FixedPoint | PerChannel, values: Tensor) -> Tensor:
        """Give the codes of a row under a format."""
        made = self._made.setdefault(row, {})
        made[fmt] = made.pop(fmt) if fmt in made else self._coding.codes(row, fmt, values)
        if len(made) > self.KEPT:
            del made[next(iter(made))]
        return made[fmt]


def _readers(network: Network) -> dict[str, list[int]]:
    """Give for each row the positions of the operations that give it or, of a weight or bias, read it; and the last."""
    found = {row.name: [network.output.index] for row in network.rows}
    for row, producer in network.producers.items():
        found[row].append(producer.index)
    for holder in network.operations:
        if holder.constant is not None:
            readers = holder.users if holder.kind == "constant" else (holder,)
            found[holder.constant].extend(reader.index for reader in readers)
    for layer in network.layers:
        for row in filter(None, (layer.weight_row, layer.bias_row)):
            found[row].append(layer.head.index)
    return found


def _overwrites(node: Operation) -> bool:
    """Whether an operation works in place on a tensor that it is given."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(item.alias_info and item.alias_info.is_write for item in schema.arguments)

"""Search: windows chosen by what they do to the network's output, and word lengths mixed under a budget of bytes.

Both go by one number, the squared error of the output over the data, measured bit for bit; of several outputs, the sum
of their errors, each as a share of its squared values.

Windows: row after row, from the inputs to the outputs, each window is tried one and two bits higher and lower, those of
a weight's channels together, and stays where the error is least; again and again, until no such move lessens the error
(coordinate descent). No move counts that makes the error greater on the data that are kept aside, or that of any output
greater than it was at the start: so nothing is fitted to these data alone, and no output is given up for another.

Word lengths: for each weight and each length the error with that weight alone changed is measured. What rows add to the
error adds up, nearly; so from the shortest words on, the next bits go where they take off the most error per byte, as
long as the budget lasts. Bytes that take nothing off are not spent. Then windows are chosen once more; where the budget
allows the lengths that were there and they do better, they stay.

Sources: Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers" (1988), for the allocation;
Lin et al., "Fixed point quantization of deep convolutional networks" (2016), for errors of the output that add up.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from qwidgets import schemes
from qwidgets.adjusting.kept_aside import Verdict, divide
from qwidgets.adjusting.step import Drafted, Step, register_step
from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint, PerChannel, moved
from qwidgets.progress import Progress
from qwidgets.simulation import PartialRun, Program, captured, device_of
from qwidgets.tuning import Format, PlanState
from qwidgets.validation import FloatReference, parameter_bytes

SHIFTS = (1, -1, 2, -2)
"""By so many bits windows are moved."""

SHORTEST = 2
"""No weight gets fewer bits."""

LONGER = 2
"""No weight gets more than so many bits above what it has."""

Window = FixedPoint | PerChannel


def search(
    model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress, budget: int | None = None
) -> Drafted:
    """Give formats with which the outputs over the data are nearest to float."""
    free = {
        row.name: fmt
        for row in plan.rows
        if isinstance(fmt := plan.committed[row.name], FixedPoint | PerChannel) and row.name not in plan.locked
    }
    if not free:
        raise PlanError("there is nothing to search for: every tensor stays in float, at an accumulator, or is locked")
    memory = _Memory(plan, free)
    if budget is not None:
        memory.check(budget)
    work = _Search(model, plan, data, progress)
    before = work.noise
    work.move_windows(free)
    start, noise = dict(work.formats), work.noise
    if budget is not None:
        lengths = memory.allotted(budget, work.errors_of_lengths(memory.weights))
        work.take({row: work.resized(row, length) for row, length in lengths.items()})
        work.move_windows(free)
        if memory.of(start) <= budget and not work.noise.is_less(noise, before):
            work.take(start)
    verdict = Verdict(before.sqnr_db, work.noise.sqnr_db, work.samples_aside)
    formats = {row: work.formats[row] for row in free if work.formats[row] != plan.committed[row]}
    return Drafted(formats, f"searched: {verdict}")


@dataclasses.dataclass(frozen=True)
class _Noise:
    """The squared error of each output, as a share of its squared values: over the data seen, and over those aside."""

    seen: Mapping[str, float]
    aside: Mapping[str, float]

    @property
    def total(self) -> float:
        """Of all outputs together, over the data seen."""
        return sum(self.seen.values())

    @property
    def sqnr_db(self) -> float:
        """Of the worst output over the data aside, in dB."""
        worst = max(self.aside.values(), default=math.nan)
        return -10 * math.log10(worst) if worst else math.inf

    def is_less(self, other: "_Noise", start: "_Noise") -> bool:
        """Whether it is less than another, on the data aside no more, and of no output more than at a start."""
        rises = (
            noise > before[name]
            for noises, before in ((self.seen, start.seen), (self.aside, start.aside))
            for name, noise in noises.items()
        )
        return self.total < other.total and sum(self.aside.values()) <= sum(other.aside.values()) and not any(rises)


class _Search:
    """A network under formats that are being searched for, with the squared error of its outputs."""

    def __init__(self, model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress) -> None:
        network, device = plan.adjustments.applied(captured(model, plan)), device_of(model)
        divided = divide(network, model, data)
        self.samples_aside = divided.samples
        self._parameters = network.parameters
        self._outcomes = [
            FloatReference(lambda outputs, targets: {}, network, part) for part in (divided.seen, divided.aside)
        ]
        self._seen = len(divided.seen)
        self._rerun = PartialRun(network, plan.adjustments, plan.committed, divided.leaves, device)
        self._progress = progress
        self.noise = self._start = self._noise(self._rerun.outputs(self._rerun.program))

    @property
    def formats(self) -> Mapping[str, Format]:
        """Of all rows, those that were found so far."""
        return self._rerun.formats

    def take(self, formats: Mapping[str, Format]) -> None:
        """Go on with other formats of some rows."""
        merged = {**self.formats, **formats}
        self._rerun.adopt(merged, self._rerun.under(merged), 0)
        self.noise = self._start = self._noise(self._rerun.outputs(self._rerun.program))

    def move_windows(self, rows: Iterable[str]) -> None:
        """Move the windows of rows to where the error is least."""
        ordered = sorted(rows, key=self._rerun.start_of)
        unchanged, turn = 0, itertools.count(1)
        while unchanged < len(ordered):
            with self._progress.over(len(ordered), f"windows, pass {next(turn)}"):
                for row in ordered:
                    unchanged = 0 if self._move_window(row) else unchanged + 1
                    if unchanged == len(ordered):
                        break
                    self._progress.step()

    def errors_of_lengths(self, rows: Iterable[str]) -> dict[str, dict[int, float]]:
        """Measure, for each row and each word length, the error of the outputs with that row alone changed."""
        found: dict[str, dict[int, float]] = {}
        ordered = sorted(rows, key=self._rerun.start_of)
        with self._progress.over(len(ordered), "word lengths"):
            for row in ordered:
                longest = _length(self.formats[row]) + LONGER
                found[row] = {
                    length: self._noise(self._rerun.changed({row: self.resized(row, length)})).total
                    for length in range(SHORTEST, min(longest, 32) + 1)
                }
                self._progress.step()
        return found

    def resized(self, row: str, length: int) -> Window:
        """Give the format of a weight with another word length, its windows chosen by least squares."""
        fmt = self.formats[row]
        assert isinstance(fmt, FixedPoint | PerChannel)
        if length == fmt.word_length:
            return fmt
        return _fitted(self._parameters[row], fmt, length)

    def _noise(self, outputs: Iterator[Any]) -> _Noise:
        seen, aside = self._outcomes
        return _Noise(seen.noise(itertools.islice(outputs, self._seen)), aside.noise(outputs))

    def _move_window(self, row: str) -> bool:
        """Move the window of one row to where the error is least, and say whether that is elsewhere."""
        fmt = self.formats[row]
        assert isinstance(fmt, FixedPoint | PerChannel)
        best: tuple[dict[str, Format], Program, int] | None = None
        for bits in SHIFTS:
            other = moved(fmt, bits)
            if other is None:
                continue
            formats: dict[str, Format] = {**self.formats, row: other}
            program = self._rerun.under(formats)
            start = self._rerun.start([row], program)
            self._rerun.advance(start)
            noise = self._noise(self._rerun.outputs(program))
            if noise.is_less(self.noise, self._start):
                best, self.noise = (formats, program, start), noise
        if best is not None:
            self._rerun.adopt(*best)
        return best is not None


class _Memory:
    """The bytes of a network's weights and biases, as `qwidgets.validation.validate` counts them."""

    def __init__(self, plan: PlanState, free: Mapping[str, Window]) -> None:
        self._rows = {row.name: row for row in plan.rows}
        self.weights = [row for row in free if self._rows[row].kind == "weight"]
        others = (row for name, row in self._rows.items() if name not in self.weights)
        self._fixed = sum(parameter_bytes(row, plan.committed[row.name]) for row in others)

    def of(self, formats: Mapping[str, Format]) -> int:
        """Give the bytes under some formats."""
        return self._fixed + sum(parameter_bytes(self._rows[row], formats[row]) for row in self.weights)

    def check(self, budget: int) -> None:
        """Raise a PlanError where the budget is none, or too small."""
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise PlanError(f"a budget is a whole number of bytes, not {budget!r}")
        least = self._fixed + sum(self._bytes(row, SHORTEST) for row in self.weights)
        if budget < least:
            raise PlanError(
                f"a budget of {budget} bytes cannot be met: the least is {least}, with {SHORTEST} bits for each of the "
                f"{len(self.weights)} weights that may change; unlock more, or give biases fewer bits"
            )

    def allotted(self, budget: int, errors: Mapping[str, Mapping[int, float]]) -> dict[str, int]:
        """Give each weight a word length: the next bits go where they take off the most error per byte."""
        lengths = dict.fromkeys(self.weights, SHORTEST)
        left = budget - self._fixed - sum(self._bytes(row, SHORTEST) for row in self.weights)
        while True:
            steps = []
            for row, length in lengths.items():
                for longer in range(length + 1, max(errors[row]) + 1):
                    more = self._bytes(row, longer) - self._bytes(row, length)
                    less = errors[row][length] - errors[row][longer]
                    if more <= left and less > 0:
                        steps.append((less / max(more, 1), row, longer, more))
            if not steps:
                return lengths
            _, row, longer, more = max(steps)
            lengths[row], left = longer, left - more

    def _bytes(self, row: str, length: int) -> int:
        return parameter_bytes(self._rows[row], FixedPoint(length))


def _fitted(values: Tensor, fmt: Window, length: int) -> Window:
    """Give a format of another word length, otherwise of the same kind."""
    one = isinstance(fmt, FixedPoint)
    found = schemes.least_squares(values.reshape(1, -1) if one else values, length, fmt.signed)
    found = dataclasses.replace(found, rounding=fmt.rounding, overflow=fmt.overflow)
    return found[0] if one else found


def _length(fmt: Format) -> int:
    assert fmt is not None
    return fmt.word_length


register_step(
    Step(
        name="search",
        title="Search",
        about="Drafts windows by what they do to the network's output and, where a budget is written, a word length "
        "for each weight.",
        run=search,
        note="searched",
        takes_budget=True,
    )
)

"""A network under its plan as it is: what each row costs, what is known of it, and why that may be."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
from torch import nn

from qwidgets.feeding import fed, not_fed
from qwidgets.formats import PerChannel, longer, moved
from qwidgets.network import unwrapped
from qwidgets.remedies import whole_network
from qwidgets.remedies.cause import CAUSES, Cause, Evidence, Trial, bits_text
from qwidgets.remedies.findings import Finding, Remedy, in_order
from qwidgets.remedies.tensor_errors import TensorErrors
from qwidgets.remedies.trying import Trying
from qwidgets.remedies.whole_network import LONGER
from qwidgets.simulation import Parameter, QuantizedNetwork, captured
from qwidgets.targets import Target
from qwidgets.tuning import ACCUMULATOR_BITS, PlanState
from qwidgets.validation import Metric, RowAblation, run_both, suspects


class Study:
    """A network under a plan's committed formats.

    Parameters
    ----------
    model, plan, data, metric, target
        As for `qwidgets.remedies.find_remedies`, with its errors.

    Attributes
    ----------
    whole
        What it gives as it is.
    trying
        What tries others.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: PlanState,
        data: Iterable[Any],
        metric: Metric | None,
        target: str | Target | None,
    ) -> None:
        self._plan, self._model, self._network = plan, unwrapped(model), captured(model, plan)
        assert plan.calibration is not None  # else it could not be captured
        self._calibration = plan.calibration
        self._batches = list(data)
        self._ablation = RowAblation(model, plan, self._batches, metric)
        self._errors = {row.name: TensorErrors(plan.committed[row.name], row.operation) for row in plan.rows}
        quantized, outputs = self._compared()
        self.whole = self._ablation.judged(outputs)
        self._accumulators = quantized.program.accumulators
        self._overflows = quantized.accumulator_overflows
        self._operations = {node.slot: node for node in self._network.operations if node.slot is not None}
        self.trying = Trying(self._model, self._network, plan, self._batches, self._ablation, self.whole, target)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.whole.errors)

    def rows_to_look_at(self, names: Sequence[str] | None) -> list[str]:
        """Give those that are named, or those under suspicion, in the order in which the least is computed again."""
        if names is None:
            sqnr_db = pd.Series({row: errors.sqnr_db for row, errors in self._errors.items()}, dtype=float)
            found = {*suspects(self._plan, sqnr_db), *self._overflows}
            names = [row.name for row in self._plan.rows if row.name in found]
        return self._ablation.sorted(name for name in names if self._plan.committed[name] is not None)

    def alone(self, name: str) -> float:
        """Give the SQNR of the output, in dB, with a row quantized alone."""
        return self._ablation.alone(*self._parts(name)).figures["sqnr_db"]

    def finding(self, name: str, alone_db: float) -> Iterator[Finding]:
        """Find out why a row costs what it costs, and try what might mend it: what is known after each trial."""
        evidence = self._evidence(name, alone_db)
        causes = [cause for tell in CAUSES.values() if (cause := tell(evidence)) is not None]
        without = self._ablation.changed(dict.fromkeys(self._parts(name))).figures
        cost = {figure: number - self.whole.figures[figure] for figure, number in without.items()}
        metrics = {figure: number for figure, number in cost.items() if not figure.endswith("sqnr_db")}
        known = Finding(name, alone_db, cost["sqnr_db"], metrics, _telling(causes, ()), (), 0)
        yield known
        trials = [*(trial for cause in causes for trial in cause.trials), *_general(evidence)]
        for tried, helping in self.trying.each(trials):
            remedies = in_order(helping)
            known = dataclasses.replace(known, causes=_telling(causes, remedies), remedies=remedies, tried=tried)
            yield known

    def finding_of_whole(self) -> Iterator[Finding]:
        """Find out which side costs more, and try what might help many rows: what is known after each trial."""
        sides = {
            what: self._ablation.changed(formats).figures["sqnr_db"]
            for what, formats in whole_network.in_float(self._plan).items()
        }
        known = Finding("", math.nan, math.nan, {}, (whole_network.cause(sides),), (), 0)
        yield known
        for tried, helping in self.trying.each(whole_network.trials(self._plan, self._calibration)):
            yield dataclasses.replace(known, remedies=in_order(helping), tried=tried)

    def _parts(self, name: str) -> set[str]:
        """The row and, where its sums overflow, which they do under the formats of all that they are made of, these."""
        if name not in self._overflows:
            return {name}
        added = next((each for each in self._calibration.sums if each.row == name), None)
        parts = {name, added.weight, added.bias, *added.reads} if added else {name}
        return {part for part in parts if part is not None}

    def _evidence(self, name: str, alone_db: float) -> Evidence:
        row, fmt = self._plan.row(name), self._plan.committed[name]
        assert fmt is not None  # what is in float is not looked at
        operation = self._operations.get(name)
        accumulator = self._accumulators.get(name)
        return Evidence(
            plan=self._plan,
            calibration=self._calibration,
            row=row,
            format=fmt,
            preview=self._plan.committed_preview(name),
            alone_db=alone_db,
            operation=operation,
            read_by=operation.users if operation is not None else (),
            dead_bits=self._errors[name].dead_bits,
            mean_share=self._errors[row.layer].mean_share if row.layer in self._errors else 0.0,
            overflows=self._overflows.get(name, 0),
            needed_bits=accumulator.needed_bits if accumulator is not None else 0,
            is_last=row.layer in self._last_layers(),
        )

    def _last_layers(self) -> set[str]:
        """The layers that the outputs come from, through what only moves values."""
        slots = (read.source.slot for read in self._network.output.operands)
        return {self._plan.row(slot).layer for slot in slots if slot is not None}

    def _compared(self) -> tuple[QuantizedNetwork, list[Any]]:
        """Compare each tensor in float and quantized; give the quantized network, and its outputs for each batch."""
        plan, adjustments = self._plan, self._plan.adjustments
        adjusted = adjustments.applied(self._network)
        quantized = QuantizedNetwork(self._model, adjusted, plan.committed, ACCUMULATOR_BITS, adjustments)
        errors, outputs = self._errors, list[Any]()
        for name, values in adjusted.parameters.items():
            errors[name].add(values, quantized.values(Parameter(name)))
        for index, batch in enumerate(fed(self._network, self._model, self._batches, quantized.device)):
            try:
                both = run_both(self._network, quantized, adjustments, batch, lambda row, *pair: errors[row].add(*pair))
            except Exception as error:
                raise not_fed(self._network, index, error) from error
            outputs.append(both[1])
        return quantized, outputs


def _telling(causes: Iterable[Cause], remedies: Sequence[Remedy]) -> tuple[Cause, ...]:
    """Put first the cause whose remedies gain most; that bits are few is said only where nothing else is."""

    def order(cause: Cause) -> tuple[bool, float]:
        # Several causes may ask for the same formats, of which only one trial was made.
        gains = (each.gain_db for each in remedies for trial in cause.trials if _is_of(each, trial))
        return cause.is_general, -max(gains, default=0.0)

    ordered = sorted(causes, key=order)
    special = [cause for cause in ordered if cause.name != "few_bits"]
    return tuple(special or ordered)


def _is_of(remedy: Remedy, trial: Trial) -> bool:
    """Whether a remedy has the formats of a trial, which may name rows that have theirs already."""
    return remedy.formats.items() <= trial.formats.items()


def _general(evidence: Evidence) -> list[Trial]:
    """Give what can be tried with any row."""
    fmt, trials = evidence.windows, list[Trial]()
    if fmt is not None:
        which = "windows" if isinstance(fmt, PerChannel) else "window"
        for bits, where in ((1, "higher"), (-1, "lower")):
            if (other := moved(fmt, bits)) is not None:
                trials.append(evidence.trial(f"{which} 1 bit {where}", other))
        if (finer := longer(fmt, LONGER)) is not None:
            trials.append(evidence.trial(f"a word of {bits_text(finer.word_length)}", finer))
    return [*trials, evidence.trial("in float", None)]

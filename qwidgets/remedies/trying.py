"""Tries changes of a plan: what each does to the network's output, and what it costs beside."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from qwidgets import targets
from qwidgets.adjusting import Adjusted, surely_less
from qwidgets.feeding import fed
from qwidgets.network import Network
from qwidgets.remedies.cause import Trial
from qwidgets.remedies.findings import Remedy
from qwidgets.simulation import QuantizedNetwork
from qwidgets.targets import Target
from qwidgets.tuning import ACCUMULATOR_BITS, Format, PlanState
from qwidgets.validation import Outcome, RowAblation, parameter_bytes

FREE_DB = 0.05
"""What costs the output no more than so much, in dB, is no loss."""


class Trying:
    """Tries formats, and what steps found, beside what is committed.

    Parameters
    ----------
    model, network
        The network that the plan is of, and as it was captured.
    batches
        What it is judged on.
    ablation
        The network under the plan on these batches.
    whole
        What it gives there as it is.
    target
        Whose rules are asked what a change loses; None for no target.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        plan: PlanState,
        batches: Sequence[Any],
        ablation: RowAblation,
        whole: Outcome,
        target: str | Target | None,
    ) -> None:
        self._model, self._network, self._plan, self._batches = model, network, plan, batches
        self._ablation, self._whole = ablation, whole
        self._target = None if target is None else targets.find(target)
        self._misfits = self._misfits_of(plan)

    def each(self, trials: Iterable[Trial]) -> Iterator[tuple[int, list[Remedy]]]:
        """Try formats, each once, and none of what is locked: give how many were tried, and what helps."""
        tried: list[dict[str, Format]] = []
        helping: list[Remedy] = []
        for trial in trials:
            changed = {row: fmt for row, fmt in trial.formats.items() if self._plan.committed[row] != fmt}
            if not changed or changed in tried or set(changed) & self._plan.locked:
                continue
            tried.append(changed)
            remedy = self._judged(trial.title, changed, self._ablation.changed(changed))
            helping += [remedy] if remedy is not None else []
            yield len(tried), helping

    def step(self, title: str, name: str, found: Adjusted) -> Remedy | None:
        """Measure what a step found; None where it does no good."""
        trial = self._plan.copy()
        trial.adjust(found.formats, found.adjustments, title)
        adjusted = trial.adjustments.applied(self._network)
        quantized = QuantizedNetwork(self._model, adjusted, trial.committed, ACCUMULATOR_BITS, trial.adjustments)
        batches = fed(self._network, self._model, self._batches, quantized.device)
        outcome = self._ablation.judged(quantized.run(batch.args, batch.kwargs) for batch in batches)
        remedy = self._judged(title, found.formats, outcome)
        return remedy and dataclasses.replace(remedy, step=name, found=found, tried_on=self._plan)

    def _judged(self, title: str, formats: Mapping[str, Format], outcome: Outcome) -> Remedy | None:
        """Give a remedy with its effect and its price; None where it does no good."""
        gain = outcome.figures["sqnr_db"] - self._whole.figures["sqnr_db"]
        before = {row: self._plan.committed[row] for row in formats}
        rows = {row: self._plan.row(row) for row in formats}
        more_bytes = sum(parameter_bytes(row, formats[n]) - parameter_bytes(row, before[n]) for n, row in rows.items())
        activations = (name for name, row in rows.items() if row.kind in ("input", "activation"))
        more_bits = max((_more_bits(before[name], formats[name]) for name in activations), key=abs, default=0)
        is_better = gain > 0 and bool(surely_less(outcome.errors, self._whole.errors))
        is_smaller = gain > -FREE_DB and max(more_bytes, more_bits) <= 0 and min(more_bytes, more_bits) < 0
        if not is_better and not is_smaller:
            return None
        kept_float = any(fmt is None and before[row] is not None for row, fmt in formats.items())
        losses = self._losses(formats)
        return Remedy(title, formats, before, outcome.figures, gain, more_bytes, more_bits, kept_float, losses)

    def _losses(self, formats: Mapping[str, Format]) -> tuple[str, ...]:
        """Say what the target cannot have with these formats that it can have as they are."""
        if self._target is None or not formats:
            return ()
        trial = self._plan.copy()
        trial.draft(dict(formats))
        new = {reason for _, reason in self._misfits_of(trial) - self._misfits}
        return tuple(f"{self._target.name} cannot have it: {reason}" for reason in sorted(new))

    def _misfits_of(self, plan: PlanState) -> set[tuple[str, str]]:
        if self._target is None:
            return set()
        found = targets.check(plan, self._target, self._model)
        return set(zip(map(str, found.index), found["reason"], strict=True))


def _more_bits(before: Format, after: Format) -> int:
    return 0 if before is None or after is None else after.word_length - before.word_length

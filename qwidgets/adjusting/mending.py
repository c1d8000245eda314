"""Mending: what helps of the other steps, one after the other, each beginning where the one before ended.

The order is that of what a step leaves open: channels are brought to one scale while windows can still follow, then
biases take off the mean error, weights are rounded so that what is left cancels, and what that cannot reach is learned.
"""

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

from torch import nn

from qwidgets.adjusting.adaptive_rounding import round_adaptively
from qwidgets.adjusting.bias_correction import correct_bias
from qwidgets.adjusting.equalization import equalize
from qwidgets.adjusting.fine_tuning import fine_tune
from qwidgets.adjusting.kept_aside import Verdict
from qwidgets.adjusting.step import Adjusted, Step, Unchanged, register_step
from qwidgets.errors import PlanError
from qwidgets.progress import Progress, Stopped
from qwidgets.tuning import PlanState

ORDER = {
    "equalized": equalize,
    "biases corrected": correct_bias,
    "weights rounded adaptively": round_adaptively,
    "fine-tuned": fine_tune,
}


def mend(
    model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress, *, budget_s: float | None = None
) -> Adjusted | Unchanged:
    """Do each step on a copy of the plan, and keep what they found.

    Raises
    ------
    PlanError
        ``budget_s`` is not a number above zero.
    """
    if budget_s is not None and not (isinstance(budget_s, int | float) and budget_s > 0):
        raise PlanError(f"budget_s must be a number of seconds above zero, not {budget_s!r:.80}")
    batches, trial, verdicts = list(data), plan.copy(), dict[str, Verdict]()
    limited = progress if budget_s is None else progress.until(time.monotonic() + budget_s)
    try:
        for words, step in ORDER.items():
            found = step(model, trial, batches, limited)
            if isinstance(found, Adjusted):
                trial.adjust(found.formats, found.adjustments, words)
                assert isinstance(found.judged, Verdict)  # as each of these gives it
                verdicts[words] = found.judged
    except Stopped:
        if not verdicts:
            raise
    if not verdicts:
        return Unchanged("no step does any good")
    # All judge by the same data, and each begins where the one before ended.
    judged = list(verdicts.values())
    formats = {row: fmt for row, fmt in trial.committed.items() if fmt != plan.committed[row]}
    whole = dataclasses.replace(judged[-1], before=judged[0].before)
    return Adjusted(trial.adjustments, formats, f"{', '.join(verdicts)}; {whole}")


register_step(
    Step(
        name="mend",
        title="Mend",
        about="Does what helps of the others: equalizes, corrects biases, rounds adaptively, fine-tunes.",
        run=mend,
        note="mended",
        changes=("factors", "shifts", "roundings"),
    )
)

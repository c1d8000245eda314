"""What the format of each row does to the network's output: each row quantized alone, and each left out alone."""

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from torch import nn

from qwidgets.progress import OnProgress, Progress, Stopped
from qwidgets.shown_table import ShownTable
from qwidgets.tuning import PlanState
from qwidgets.validation.metrics import Metric
from qwidgets.validation.row_ablation import RowAblation


def sensitivity(
    model: nn.Module,
    plan: PlanState,
    data: Iterable[Any],
    metric: Metric | None = None,
    *,
    names: Iterable[str] | None = None,
    progress: bool | OnProgress = True,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Measure what each row's committed format does to the output, by itself and within the whole. Drafts do not count.

    For a row, all that is computed before it is the same as for the network as a whole, so it is computed once and only
    the rest for each row: what is given equals what a run of the whole network under each such plan gives, to the last
    bit. In memory are all batches and, for float and for quantized, what the operations from one place of the network
    on read of those before: of a chain of layers one activation, for all batches.

    Parameters
    ----------
    model
        The network that the plan is of.
    plan
        Its committed formats are applied as :func:`qwidgets.quantize` does, with its adjustments; but where a row is
        quantized alone, biases are not corrected, since that makes up for what the other rows lose.
    data
        Batches, as for :func:`qwidgets.validate`. The time is that of some runs of the network over them for each row.
    metric
        As for :func:`qwidgets.validate`; without it, the same default.
    names
        The rows to measure; all by default.
    progress
        Whether to show a bar.
    stop
        Asked after each row; where it gives True, what was measured so far is given.

    Returns
    -------
    pandas.DataFrame
        Indexed by the row's name, in the order of ``plan.rows``. Columns:

        - ``kind``: input, weight, bias or activation;
        - ``format``: the bit window, or "float";
        - ``alone_sqnr_db``: SQNR of the worst of the outputs, in dB, with this row quantized and all others in float;
        - ``without_sqnr_db``: the same with this row in float and all others quantized;
        - ``alone_output[0]_sqnr_db``, ``without_…``: where there are several outputs, that of each, named as
          :func:`qwidgets.validate` names them;
        - ``alone_…``, ``without_…``: each number of the metric, likewise.

        NaN where a row has no format, or was not measured. ``attrs`` of the table has the same numbers for the network
        with all rows quantized, what ``without_…`` is to be compared with: ``sqnr_db`` and the metric's names.

    Raises
    ------
    PlanError
        The plan is of another network, or has no row of such a name.
    DataError
        There is no batch, or one cannot be read or fed (its number is named), or the metric raises or gives no number.

    Examples
    --------
    >>> from qwidgets.calibration import calibrate
    >>> from qwidgets.examples import digits
    >>> example = digits()
    >>> plan = calibrate(example.model, example.calibration, progress=False).propose(word_length=8)
    >>> plan["stem.0.weight"] = "numerictype(1, 3, 1)"
    >>> note = plan.commit("far too coarse")
    >>> report = sensitivity(example.model, plan, example.test, progress=False)
    >>> report["alone_sqnr_db"].idxmin()
    'stem.0.weight'
    """
    asked = plan.names if names is None else [names] if isinstance(names, str) else names
    chosen = {plan.row(name).name for name in asked}
    study = RowAblation(model, plan, data, metric)
    rows = [row for row in plan.rows if row.name in chosen]
    measured: dict[str, dict[str, float]] = {row.name: {} for row in rows}
    whole: dict[str, float] = {}
    bar = Progress(progress, stop)
    with contextlib.suppress(Stopped), bar.over(1 + len(rows), "sensitivity"):
        whole = study.whole().figures
        bar.step()
        for name in study.sorted(measured):
            if plan.committed[name] is not None:
                for word, found in (("alone", study.alone(name)), ("without", study.changed({name: None}))):
                    measured[name].update({f"{word}_{figure}": number for figure, number in found.figures.items()})
            bar.step()
    columns = [f"{word}_{name}" for name in study.names for word in ("alone", "without")]
    table = ShownTable(
        [
            [row.name, row.kind, str(plan.committed[row.name] or "float")]
            + [measured[row.name].get(column, math.nan) for column in columns]
            for row in rows
        ],
        columns=["name", "kind", "format", *columns],
    ).set_index("name")
    table.attrs.update(whole)
    return table

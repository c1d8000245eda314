"""A plan as tables: every tensor with its formats and what they do to it, and what differs between two plans."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from qwidgets.shown_table import ShownTable

if TYPE_CHECKING:
    from qwidgets.tuning.plan_state import PlanState

COLUMNS = {
    "state": "str",
    "adjusted": "str",
    "layer": "str",
    "fused": "str",
    "kind": "str",
    "operation": "str",
    "count": "Int64",
    "min": "float64",
    "max": "float64",
    "word_length": "Int64",
    "window": "str",
    "signed": "boolean",
    "underflow": "Int64",
    "underflow_percent": "float64",
    "overflow": "Int64",
    "overflow_percent": "float64",
    "sqnr_db": "float64",
    "exact": "boolean",
    "committed_window": "str",
    "committed_underflow": "Int64",
    "committed_overflow": "Int64",
    "committed_sqnr_db": "float64",
}
"""The columns of :meth:`qwidgets.plan.Plan.table` and their types: text is never missing, numbers may be."""


def table(plan: "PlanState", names: Iterable[str]) -> ShownTable:
    """A row per tensor; see :meth:`qwidgets.plan.Plan.table`."""
    names = tuple(names)
    records = [_facts(plan, name) | _format(plan, name) for name in names]
    index = pd.Index(names, name="name", dtype="str")
    return ShownTable(records, columns=list(COLUMNS), index=index).astype(COLUMNS)


def diff(plan: "PlanState", other: "PlanState") -> pd.DataFrame:
    """The tensors whose formats differ; see :meth:`qwidgets.plan.Plan.diff`."""
    names = [*plan, *(name for name in other if name not in plan)]
    both = {name for name in plan if name in other}
    differing = [
        (name, _described(plan, name), _described(other, name))
        for name in names
        if name not in both or plan[name] != other[name]
    ]
    return ShownTable.from_records(differing, columns=["name", "this", "other"], index="name")


def _facts(plan: "PlanState", name: str) -> dict[str, object]:
    row = plan.row(name)
    described: dict[str, object] = {
        "layer": row.layer,
        "fused": ", ".join(row.fused),
        "kind": row.kind,
        "operation": row.operation,
    }
    if plan.calibration is None:
        return described
    histogram = plan.calibration[name]
    return described | {"count": histogram.count, "min": histogram.min, "max": histogram.max}


def _format(plan: "PlanState", name: str) -> dict[str, object]:
    fmt, committed = plan[name], plan.committed[name]
    states = {"draft": name in plan.drafts, "locked": name in plan.locked, "float": fmt is None}
    record: dict[str, object] = {
        "state": ", ".join(state for state, holds in states.items() if holds),
        "adjusted": ", ".join(plan.adjustments.describe(name, fmt)),
        "window": fmt.window if fmt else "",
        "committed_window": committed.window if committed else "",
    }
    if fmt:
        record |= {"word_length": fmt.word_length, "signed": fmt.signed}
    if plan.calibration is None:
        return record
    if preview := plan.preview(name):
        percent = 100 / max(preview.count, 1)
        record |= {
            "underflow": preview.underflow,
            "underflow_percent": preview.underflow * percent,
            "overflow": preview.overflow,
            "overflow_percent": preview.overflow * percent,
            "sqnr_db": preview.sqnr_db,
            "exact": preview.exact,
        }
    if before := plan.committed_preview(name):
        record |= {
            "committed_underflow": before.underflow,
            "committed_overflow": before.overflow,
            "committed_sqnr_db": before.sqnr_db,
        }
    return record


def _described(plan: "PlanState", name: str) -> str:
    if name not in plan:
        return "not there"
    fmt = plan[name]
    return "float" if fmt is None else str(fmt)

"""The table of layers: a row per tensor, with its format and what that does to it.

It is where tensors are found, sorted, filtered, grouped by module and selected.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import ipywidgets
import pandas as pd

from qwidgets.pictures import superscript
from qwidgets.plan import Plan
from qwidgets.widgets.controls import DRAWING, LIMITS, PlanView, guarded, problems, severity_of
from qwidgets.widgets.workbench.row_list import Line, RowList

HEIGHT = 320


class Column(NamedTuple):
    """How a column looks.

    Attributes
    ----------
    title, unit, about
        What its header says, and says when it is pointed at.
    width
        In pixels.
    format
        How its numbers are written, as JavaScript's ``Intl.NumberFormat`` takes it; None for text.
    limit
        Which of the limits marks its numbers.
    """

    title: str
    about: str
    width: int = 72
    unit: str = ""
    format: Mapping[str, Any] | None = None
    limit: str = ""


PERCENT = {"maximumSignificantDigits": 3}
DECIBELS = {"minimumFractionDigits": 1, "maximumFractionDigits": 1}
COUNT = {"maximumFractionDigits": 0}

COLUMNS = {
    "tensor": Column("tensor", "The tensor's name", 200),
    "kind": Column("kind", "What it is in the network", 76),
    "state": Column("state", "Drafted, locked, kept in float, or unfit for the target", 72),
    "window": Column("window", "The bits that its format keeps", 116),
    "underflow_percent": Column("under", "Nonzero values that become zero", 72, "%", PERCENT, "underflow_percent"),
    "overflow_percent": Column("over", "Values out of range", 72, "%", PERCENT, "overflow_percent"),
    "sqnr_db": Column("SQNR", "Of this tensor's rounding alone", 76, "dB", DECIBELS, "sqnr_db"),
    "in_net_db": Column("in net", "SQNR as it is computed, all formats together", 76, "dB", DECIBELS, "sqnr_db"),
    "underflow": Column("underflow", "Nonzero values that become zero", 88, "", COUNT),
    "overflow": Column("overflow", "Values out of range", 80, "", COUNT),
    "word_length": Column("bits", "Word length, the sign bit counted", 52, "", COUNT),
    "sign": Column("sign", "Whether its format has a sign", 76),
    "count": Column("count", "Values that were counted", 96, "", COUNT),
    "min": Column("min", "The least value", 80, "", PERCENT),
    "max": Column("max", "The largest value", 80, "", PERCENT),
    "adjusted": Column("adjusted", "What steps did to it", 120),
    "misfit": Column("does not fit", "Why the target cannot take it", 190),
    "operation": Column("operation", "What computes it", 110),
    "layer": Column("layer", "The layer that it belongs to", 140),
    "fused": Column("fused", "The layers that are one row with it", 170),
}
SHOWN = ["kind", "state", "window", "underflow_percent", "overflow_percent", "sqnr_db", "in_net_db"]

Chosen = Callable[[pd.DataFrame], "pd.Series[bool]"]

FILTERS: dict[str, tuple[Chosen, str]] = {
    "problems": (problems, "No tensor has a problem: little underflow, hardly any overflow, a good SQNR."),
    "drafts": (lambda table: table["state"].str.contains("draft"), "There is no draft."),
    "locked": (lambda table: table["state"].str.contains("locked"), "No tensor is locked."),
    "adjusted": (
        lambda table: table["adjusted"] != "",
        "No tensor is adjusted: equalized, bias corrected, or rounded adaptively.",
    ),
    "does not fit": (lambda table: table["misfit"] != "", "Every tensor fits the target, or none is picked."),
    "weights": (lambda table: table["kind"].isin(["weight", "bias"]), "There are no weights."),
    "activations": (lambda table: table["kind"].isin(["activation", "input"]), "There are no activations."),
}
_CHANNELS = re.compile(r"\((\d+) channels?\)")
NOTHING = "This network has no tensor that a format can be given to."


class LayerTable(PlanView):
    """A row per tensor of a plan. A click on a header sorts; Ctrl and Shift select more than one row.

    Parameters
    ----------
    plan
        What is shown.
    selection
        Names of the tensors that are selected to begin with.

    Attributes
    ----------
    rows
        The list as it is in the browser.
    """

    def __init__(self, plan: Plan, selection: Iterable[str] = ()) -> None:
        self._measured: dict[str, float] = {}
        self._misfits: dict[str, str] = {}
        super().__init__(plan, selection)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        columns = [
            {
                **column._asdict(),
                "name": name,
                "descending": column.format is not None and column.limit != "sqnr_db",
            }
            for name, column in COLUMNS.items()
        ]
        filters = [["", "all", NOTHING], *([title, title, why] for title, (_, why) in FILTERS.items())]
        self.rows = RowList(columns=columns, filters=filters, shown=SHOWN, height=HEIGHT)
        self.rows.observe(self._on_rows_selected, "selection")
        self.add_class("qw-table")
        return (self.rows,)

    def show_measured(self, sqnr_db: Mapping[str, float]) -> None:
        """Fill the column "in net": the SQNR that each tensor was measured to have, all formats together.

        It holds for the formats that were measured; whoever fills it empties it when one of them changes.
        """
        with DRAWING:
            if sqnr_db != self._measured:
                self._measured = dict(sqnr_db)
                self.refresh()

    def show_misfits(self, reasons: Mapping[str, str]) -> None:
        """Mark the tensors that do not fit what the plan is for, each with the reason."""
        with DRAWING:
            if reasons != self._misfits:
                self._misfits = dict(reasons)
                self.refresh()

    def _show(self, changed: frozenset[str]) -> None:
        lines = self._lines([name for name in self.plan.names if name in changed])
        if len(lines) == len(self.plan.names):
            self.rows.show_rows(lines)
        else:
            self.rows.change(lines)

    def _show_selection(self) -> None:
        self.rows.selection = list(self.selection)

    def _lines(self, names: Iterable[str]) -> list[Line]:
        table = self.plan.table(names)
        table = table.assign(
            misfit=[self._misfits.get(name, "") for name in table.index],
            in_net_db=[self._measured.get(name, math.nan) for name in table.index],
        )
        tags = {title: chosen(table) for title, (chosen, _) in FILTERS.items()}
        lines: list[Line] = []
        for row in table.reset_index(names="tensor").to_dict("records"):
            name = str(row["tensor"])
            lines.append(
                {
                    "name": name,
                    "layer": row["layer"],
                    "cells": {column: _cell(column, row) for column in COLUMNS if column != "tensor"},
                    "marks": _marks(row),
                    "tags": [title for title, kept in tags.items() if kept[name]],
                }
            )
        return lines

    @guarded
    def _on_rows_selected(self, event: Any) -> None:
        self.selection = tuple(event.new)


def _cell(column: str, row: Mapping[Any, Any]) -> str | float | None:
    """What a cell holds, as JSON can say it."""
    if column == "window":
        return superscript(_CHANNELS.sub(r"×\1", row["window"]))
    if column == "state":
        return ", ".join(filter(None, (row["state"], "no fit" if row["misfit"] else "")))
    if column == "sign":
        return "" if pd.isna(row["signed"]) else "signed" if row["signed"] else "unsigned"
    value = row[column]
    if COLUMNS[column].format is None:
        return str(value)
    if pd.isna(value):
        return None
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return float(value)


def _marks(row: Mapping[Any, Any]) -> dict[str, str]:
    marks = {name: severity_of(c.limit, float(row[name])) for name, c in COLUMNS.items() if c.limit in LIMITS}
    return {name: mark for name, mark in marks.items() if mark}

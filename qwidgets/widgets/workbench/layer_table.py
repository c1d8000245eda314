"""The table of layers: a row per tensor, with its format and what that does to it.

It is where tensors are found, sorted, filtered, selected and locked.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import ipywidgets
import pandas as pd

from qwidgets.session import Debounce
from qwidgets.widgets.controls import BACKGROUNDS, DRAWING, LIMITS, PlanView, escaped, guarded, problems
from qwidgets.widgets.workbench.grid_adapter import Column, RowGrid


def _judged(number_format: str, figure: str) -> Column:
    notable, severe = LIMITS[figure]
    limits = [(notable, BACKGROUNDS["notable"]), (severe, BACKGROUNDS["severe"])]
    return Column(number_format, limits, falling=severe < notable)


COLUMNS = {
    "tensor": Column(width=168),
    "kind": Column(),
    "state": Column(),
    "window": Column(width=128),
    "under %": _judged(".3~r", "underflow_percent"),
    "over %": _judged(".3~r", "overflow_percent"),
    "SQNR dB": _judged(".1f", "sqnr_db"),
    "in net dB": _judged(".1f", "sqnr_db"),
    "underflow": Column(",d"),
    "overflow": Column(",d"),
    "bits": Column("d"),
    "sign": Column(),
    "count": Column(",d"),
    "min": Column(".3~g"),
    "max": Column(".3~g"),
    "adjusted": Column(),
    "does not fit": Column(width=190),
    "operation": Column(),
    "layer": Column(width=130),
    "fused": Column(width=170),
}

ONLY: dict[str, Callable[[pd.DataFrame], "pd.Series[bool]"]] = {
    "all": lambda table: pd.Series(data=True, index=table.index),
    "problems": problems,
    "drafts": lambda table: table["state"].str.contains("draft"),
    "locked": lambda table: table["state"].str.contains("locked"),
    "adjusted": lambda table: table["adjusted"] != "",
    "does not fit": lambda table: table["misfit"] != "",
    "weights": lambda table: table["kind"].isin(["weight", "bias"]),
    "activations": lambda table: table["kind"].isin(["activation", "input"]),
}


class LayerTable(PlanView):
    """A row per tensor of a plan. A click on a header sorts; Ctrl and Shift select more than one row.

    Parameters
    ----------
    plan
        What is shown.
    selection
        Names of the tensors that are selected to begin with.
    """

    def _pace(self, draw: Callable[[], None]) -> Debounce:
        # The browser takes longer to draw a whole table than a slider takes to move on; so the table waits for a pause.
        return Debounce(draw, seconds=0.06, at_most=2.0)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        self._measured: dict[str, float] = {}
        self._misfits: dict[str, str] = {}
        self._find = ipywidgets.Text(placeholder="find a tensor or a layer", layout=_sized("210px"))
        self._only = ipywidgets.Dropdown(options=list(ONLY), description="only", layout=_sized("170px"))
        self._only.style.description_width = "36px"
        self._lock = ipywidgets.Button(
            description="Lock", tooltip="Protect the selected formats", layout=_sized("84px")
        )
        self._count = ipywidgets.HTML()
        self._count.add_class("qw-quiet")
        self._find.observe(self._filter, "value")
        self._only.observe(self._filter, "value")
        self._lock.on_click(self._toggle_lock)
        self._table = self._read(self.plan.names)
        self._frame = self._shown(self._table)
        self._grid = RowGrid(self._frame.copy(), COLUMNS, self._on_rows_selected)
        self._empty = ipywidgets.HTML()
        self._empty.add_class("qw-empty")
        controls = ipywidgets.HBox([self._find, self._only, self._lock, self._count])
        controls.add_class("qw-bar")
        rows = ipywidgets.Box([self._grid.widget], layout=ipywidgets.Layout(height="396px"))
        self._rows = rows
        return controls, self._empty, rows

    def show_measured(self, sqnr_db: Mapping[str, float]) -> None:
        """Fill the column "in net dB": the SQNR that each tensor was measured to have, all formats together.

        It holds for the formats that were measured; whoever fills it empties it when one of them changes.
        """
        with DRAWING:
            if sqnr_db != self._measured:
                self._measured = dict(sqnr_db)
                self._redraw()  # when there is time for it, as a window may be in motion

    def show_misfits(self, reasons: Mapping[str, str]) -> None:
        """Mark the tensors that do not fit what the plan is for, each with the reason."""
        with DRAWING:
            if reasons != self._misfits:
                self._misfits = dict(reasons)
                self._table["misfit"] = self._misfit_column(self._table.index)
                self._frame = self._shown(self._table)
                self._show_rows()

    def _show(self, changed: frozenset[str]) -> None:
        names = [name for name in self.plan.names if name in changed]
        part = self._read(names)
        if len(names) == len(self._table):
            self._table, self._frame = part, self._shown(part)
        elif names:
            # Reading all figures anew would take longer than all the rest together.
            self._table, self._frame = _updated(self._table, part), _updated(self._frame, self._shown(part))
        self._frame["in net dB"] = self._measured_column(self._frame.index)
        self._show_rows()

    def _show_selection(self) -> None:
        self._grid.select(self.selection)
        locked = bool(self.selection) and set(self.selection) <= self.plan.locked
        self._lock.disabled = not self.selection
        self._lock.description = "Unlock" if locked else "Lock"

    def _show_rows(self) -> None:
        chosen = ONLY[self._only.value](self._table)
        wanted = self._find.value.strip().casefold()
        if wanted:
            text = self._table.index + "\n" + self._table["layer"] + "\n" + self._table["fused"]
            chosen &= text.str.casefold().str.contains(wanted, regex=False)
        table = self._table[chosen]
        self._grid.show(self._frame[chosen])
        everything = len(table) == len(self._table)
        self._count.value = (
            f"{len(self._table)} tensors" if everything else f"{len(table)} of {len(self._table)} tensors"
        )
        self._rows.layout.display = None if len(table) else "none"
        self._empty.value = "" if len(table) else self._why_empty()
        self._show_selection()

    def _why_empty(self) -> str:
        if not len(self._table):
            return "This network has no tensor that a format can be given to."
        if self._find.value.strip():
            return f"Nothing matches “{escaped(self._find.value)}” among {self._only.value}."
        return {
            "problems": "No tensor has a problem: little underflow, hardly any overflow, a good SQNR.",
            "drafts": "There is no draft.",
            "locked": "No tensor is locked.",
            "adjusted": "No tensor is adjusted: equalized, bias corrected, or rounded adaptively.",
            "does not fit": "Every tensor fits the target, or none is picked.",
        }.get(self._only.value, f"There are no {self._only.value}.")

    def _shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """The plan's table with the columns in the order in which the eye needs them, numbers as floats."""
        sign = table["signed"].map({True: "signed", False: "unsigned"}, na_action="ignore")
        frame = pd.DataFrame(
            {
                "tensor": table.index,
                "kind": table["kind"],
                "state": [
                    ", ".join(filter(None, (state, "no fit" if misfit else "")))
                    for state, misfit in zip(table["state"], table["misfit"], strict=True)
                ],
                "window": table["window"].str.replace(r"\((\d+) channels?\)", r"×\1", regex=True),
                "under %": table["underflow_percent"],
                "over %": table["overflow_percent"],
                "SQNR dB": table["sqnr_db"],
                "in net dB": self._measured_column(table.index),
                "underflow": table["underflow"],
                "overflow": table["overflow"],
                "bits": table["word_length"],
                "sign": sign.astype(object).where(sign.notna(), ""),
                "count": table["count"],
                "min": table["min"],
                "max": table["max"],
                "adjusted": table["adjusted"],
                "does not fit": table["misfit"],
                "operation": table["operation"],
                "layer": table["layer"],
                "fused": table["fused"],
            },
            index=table.index,
        )
        return frame.astype(
            {name: "object" if column.format is None else "float64" for name, column in COLUMNS.items()}
        )

    def _read(self, names: Iterable[str]) -> pd.DataFrame:
        """The plan's table, and why what does not fit does not."""
        table = self.plan.table(names)
        return table.assign(misfit=self._misfit_column(table.index))

    def _misfit_column(self, names: "pd.Index[str]") -> "pd.Series[str]":
        return pd.Series([self._misfits.get(name, "") for name in names], index=names, dtype="str")

    def _measured_column(self, names: "pd.Index[str]") -> "pd.Series[float]":
        return pd.Series([self._measured.get(name, math.nan) for name in names], index=names, dtype="float64")

    @guarded
    def _filter(self, _: object) -> None:
        self._show_rows()

    @guarded
    def _on_rows_selected(self, names: tuple[str, ...]) -> None:
        self.selection = names

    @guarded
    def _toggle_lock(self, _: object) -> None:
        if set(self.selection) <= self.plan.locked:
            self.plan.unlock(*self.selection)
        else:
            self.plan.lock(*self.selection)


def _sized(width: str) -> ipywidgets.Layout:
    return ipywidgets.Layout(width=width)


def _updated(table: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    """A table with some rows anew. Assigning them fails in pandas 3 where some of their numbers are missing."""
    return pd.concat([table.drop(index=part.index), part]).reindex(table.index)

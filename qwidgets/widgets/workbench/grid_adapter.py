"""A table of named rows that can be sorted, filtered and selected: all that the package knows of ipydatagrid.

Another table can be put in its place here. It speaks of rows by name only; that ipydatagrid selects rectangles of rows
as they lie on the screen, forgets them when it gets new data, and tells so later, is dealt with in this module.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ipywidgets
import pandas as pd
from ipydatagrid import DataGrid, Expr, TextRenderer

from qwidgets.widgets.controls import Holder

LINE = "rgba(128,128,128,0.22)"
GRID_STYLE = {
    "vertical_grid_line_color": "transparent",
    "horizontal_grid_line_color": LINE,
    "header_vertical_grid_line_color": "transparent",
    "header_horizontal_grid_line_color": LINE,
    "selection_fill_color": "rgba(42,120,214,0.20)",
    "selection_border_color": "rgba(42,120,214,0.9)",
    "cursor_fill_color": "transparent",
    "cursor_border_color": "transparent",
}
FONT = "12px sans-serif"
ROW_HEIGHT = 24
COLUMN_WIDTH = 84
HEADER_HEIGHT = 26


@dataclasses.dataclass(frozen=True)
class Column:
    """How a column looks.

    Attributes
    ----------
    format
        A d3 number format; None for text. A missing number leaves its cell empty.
    backgrounds
        Pairs of a limit and a colour, the mildest first: from that value on (downwards if ``falling``) a cell has it.
    width
        In pixels. For each column with a width of its own, ipydatagrid draws the table once more at every change.
    """

    format: str | None = None
    backgrounds: Sequence[tuple[float, str]] = ()
    falling: bool = False
    width: int = COLUMN_WIDTH

    def renderer(self) -> TextRenderer:
        """The column in ipydatagrid's terms."""
        if self.format is None:
            return TextRenderer(font=FONT)
        background = "default_value"
        for limit, colour in self.backgrounds:
            comparison = "<=" if self.falling else ">="
            background = f"('{colour}' if cell.value {comparison} {limit} else {background})"
        return TextRenderer(
            font=FONT,
            format=self.format,
            horizontal_alignment="right",
            background_color=Expr(background),
            # A number that is missing would be called NaN; only a NaN differs from itself.
            text_color=Expr("'transparent' if cell.value != cell.value else default_value"),
        )


class RowGrid(Holder):
    """A table of named rows.

    Parameters
    ----------
    frame
        What to show, indexed by the rows' names.
    columns
        How each column looks.
    on_select
        Called with the names of the selected rows when the person selects others.

    Attributes
    ----------
    widget
        To be put on the screen.
    """

    def __init__(
        self, frame: pd.DataFrame, columns: Mapping[str, Column], on_select: Callable[[tuple[str, ...]], None]
    ) -> None:
        self._frame = frame
        self._on_select = on_select
        self._selected: tuple[str, ...] = ()
        self._own = False
        self._header_clicked = False
        self._columns = columns
        self.widget: ipywidgets.DOMWidget = DataGrid(
            frame,
            selection_mode="row",
            base_row_size=ROW_HEIGHT,
            base_column_size=COLUMN_WIDTH,
            base_column_header_size=HEADER_HEIGHT,
            column_widths={name: column.width for name, column in columns.items() if column.width != COLUMN_WIDTH},
            renderers={name: column.renderer() for name, column in columns.items()},
            grid_style=GRID_STYLE,
            header_visibility="column",
            layout=ipywidgets.Layout(height="100%", width="100%"),
        )
        self.widget.observe(self._on_view_change, ["selections", "_visible_rows"])
        self.widget.on_cell_click(self._on_click)

    def show(self, frame: pd.DataFrame) -> None:
        """Show other figures or other rows; what is sorted stays sorted, and what is selected selected."""
        if frame.equals(self._frame):
            return
        self._frame = frame
        # Cell by cell would take ipydatagrid half a second for each row; a whole frame takes a few milliseconds.
        self.widget.data = frame
        self._mark()

    def select(self, names: Iterable[str]) -> None:
        """Mark rows; those that are not shown just now are marked when they are."""
        names = tuple(names)
        if names != self._selected:
            self._selected = names
            self._mark()

    def sort(self, column: str) -> None:
        """Sort by a column, worst or largest first; asked again, the other way round; a third time, not at all."""
        first = self._columns[column].format is not None and not self._columns[column].falling
        sorts = [transform for transform in self.widget._transforms if transform["type"] == "sort"]
        others = [transform for transform in self.widget._transforms if transform["type"] != "sort"]
        now = next((transform.get("desc", False) for transform in sorts if transform["column"] == column), None)
        if now == (not first):
            self.widget.transform(others)
        else:
            descending = first if now is None else not first
            self.widget.transform([*others, {"type": "sort", "column": column, "desc": descending}])

    def _names_on_screen(self) -> list[str]:
        """The names of the rows, top down as the person sees them."""
        order = [row for row in self.widget._visible_rows if row < len(self._frame)]
        return list(self._frame.index[order] if order else self._frame.index)

    def _mark(self) -> None:
        position = {name: row for row, name in enumerate(self._names_on_screen())}
        rows = sorted(position[name] for name in self._selected if name in position)
        last = len(self._frame.columns) - 1
        self._own = True
        try:
            self.widget.selections = [{"r1": row, "r2": row, "c1": 0, "c2": last} for row in rows]
            # The browser has dropped the selection together with the old data, whatever the kernel still believes.
            self.widget.send_state("selections")
        finally:
            self._own = False

    def _on_click(self, event: dict[str, Any]) -> None:
        self._header_clicked = event["region"] == "column-header"
        if self._header_clicked:
            self.sort(event["column"])

    def _on_view_change(self, event: Any) -> None:
        if self._own:
            return
        if self._header_clicked and event.name == "selections" and event.new:
            # A click on a header selects the whole column, which in terms of rows is all of them.
            self._header_clicked = False
            self._mark()
            return
        if event.name == "_visible_rows" or not event.new:
            # Sorted or filtered, or the late echo of new data: none of these is a wish to select nothing.
            self._mark()
            return
        names = self._names_on_screen()
        rows = [row for rectangle in event.new for row in range(rectangle["r1"], rectangle["r2"] + 1)]
        self._selected = tuple(dict.fromkeys(names[row] for row in rows if row < len(names)))
        self._on_select(self._selected)

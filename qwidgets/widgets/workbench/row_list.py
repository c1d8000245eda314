"""The list of tensors in the browser: what its rows say, which are selected, and in which order they lie.

Finding, sorting, grouping and scrolling need no kernel. A heat map that is given to it follows line by line. It knows
of rows, and of no plan.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from qwidgets.pictures import Pixels
from qwidgets.widgets.controls import Scripted, built

Line = Mapping[str, Any]
"""A row: its ``name``, ``layer``, ``cells``, ``marks`` (severities by column) and ``tags``, as JSON can say them."""


def _held_rows(_: object, widget: "RowList") -> list[Line]:
    return widget.held_rows


def _held_strips(_: object, widget: "RowList") -> memoryview:
    return memoryview(widget.held_strips.tobytes())


class RowList(Scripted):
    """A list of named rows.

    Attributes
    ----------
    columns, filters
        What the script needs to know of each column, and what rows can be filtered by.
    selection
        Names of the selected rows.
    arrangement
        How rows are searched, filtered, sorted, grouped and folded, as the script writes it. It is the same in all
        views, since they share a heat map.
    order
        The names of the rows as they lie on the screen; "" where a line shows none.
    shown
        Names of the columns that are shown.
    asked, said
        The bit of the heat map that a person points at or reads by keys, as a name and a column, None where there is
        none; and what the kernel says of it, for a screen reader.
    height
        In pixels, the header counted in.
    picture, mark, scale
        bqplot's heat map that follows the list: its image, the mark that shows it, and the scale of its lines.
    """

    _esm = built("row_list.js")
    _css = built("row_list.css")

    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    filters = traitlets.List(traitlets.List()).tag(sync=True)
    selection = traitlets.List(traitlets.Unicode()).tag(sync=True)
    arrangement = traitlets.Dict().tag(sync=True)
    order = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    asked: traitlets.List[Any] = traitlets.List(default_value=None, allow_none=True).tag(sync=True)
    said = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(300).tag(sync=True)
    palette = traitlets.List(traitlets.Int()).tag(sync=True)
    strip_width = traitlets.Int(0).tag(sync=True)
    picture = traitlets.Instance(ipywidgets.Widget, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    mark = traitlets.Instance(ipywidgets.Widget, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    scale = traitlets.Instance(ipywidgets.Widget, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    # What they hold is in `held_rows` and `held_strips`, so that the change of one row need not send all of them.
    rows = traitlets.Any().tag(sync=True, to_json=_held_rows)
    strips = traitlets.Any().tag(sync=True, to_json=_held_strips)

    def __init__(self, **traits: Any) -> None:
        self.held_rows: list[Line] = []
        self.held_strips: Pixels = np.zeros((0, 0), np.uint8)
        self._places: dict[str, int] = {}
        super().__init__(**traits)

    def show_rows(self, rows: Sequence[Line]) -> None:
        """Show rows; where they are those that are shown, only what changed is sent."""
        if [row["name"] for row in rows] != list(self._places):
            self.held_rows = list(rows)
            self._places = {row["name"]: place for place, row in enumerate(rows)}
            self.send_state("rows")
        else:
            self.change(rows)

    def change(self, rows: Sequence[Line], strips: Mapping[str, Pixels] | None = None) -> None:
        """Show other figures of some rows, and other lines of pixels."""
        changed = [(self._places[row["name"]], row) for row in rows]
        changed = [(place, row) for place, row in changed if row != self.held_rows[place]]
        for place, row in changed:
            self.held_rows[place] = row
        painted = {self._places[name]: pixels for name, pixels in (strips or {}).items()}
        for place, pixels in painted.items():
            self.held_strips[place] = pixels
        if changed or painted:
            buffers = [b"".join(pixels.tobytes() for pixels in painted.values())]
            self.send({"rows": changed, "strips": list(painted)}, buffers)

    def show_strips(self, strips: Pixels) -> None:
        """Show a line of pixels for each row, as indices into the palette."""
        self.held_strips = strips
        self.strip_width = strips.shape[1]
        self.send_state("strips")

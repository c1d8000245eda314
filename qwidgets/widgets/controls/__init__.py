"""What the views share: buttons and boxes, callbacks that report their errors, one way to live and to be closed."""

from qwidgets.widgets.controls.axes import label_ticks, labelled_axis
from qwidgets.widgets.controls.bit_bars import BitBars
from qwidgets.widgets.controls.bit_grid import CELL, LEFT, MORE, width
from qwidgets.widgets.controls.callbacks import DRAWING, drawing, guarded
from qwidgets.widgets.controls.file_names import file_name
from qwidgets.widgets.controls.lifetime import Holder, close_tree, held_in
from qwidgets.widgets.controls.number_input import NumberInput
from qwidgets.widgets.controls.outline import runs
from qwidgets.widgets.controls.plan_view import PlanView, known_names
from qwidgets.widgets.controls.progress_row import ProgressRow
from qwidgets.widgets.controls.style import BACKGROUNDS, escaped, number, percent, shortened
from qwidgets.widgets.controls.view import View, in_plain_words
from qwidgets.widgets.controls.window_controls import Move, WindowControls

__all__ = [
    "BACKGROUNDS",
    "CELL",
    "DRAWING",
    "LEFT",
    "MORE",
    "BitBars",
    "Holder",
    "Move",
    "NumberInput",
    "PlanView",
    "ProgressRow",
    "View",
    "WindowControls",
    "close_tree",
    "drawing",
    "escaped",
    "file_name",
    "guarded",
    "held_in",
    "in_plain_words",
    "known_names",
    "label_ticks",
    "labelled_axis",
    "number",
    "percent",
    "runs",
    "shortened",
    "width",
]

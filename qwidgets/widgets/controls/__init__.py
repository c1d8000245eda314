"""What the views share: buttons and boxes, callbacks that report their errors, one way to live and to be closed."""

from qwidgets.widgets.controls.axes import label_ticks, labelled_axis, tick_spacing
from qwidgets.widgets.controls.bit_bars import BitBars
from qwidgets.widgets.controls.bit_grid import BADGES, CELL, LEFT, MORE, outcome_table, width
from qwidgets.widgets.controls.bit_grid import counts as counts_html
from qwidgets.widgets.controls.bit_grid import grid as grid_html
from qwidgets.widgets.controls.bit_grid import heat_map as heat_map_html
from qwidgets.widgets.controls.bit_grid import story as story_html
from qwidgets.widgets.controls.callbacks import DRAWING, drawing, guarded
from qwidgets.widgets.controls.file_names import file_name
from qwidgets.widgets.controls.hearing import heard_whole
from qwidgets.widgets.controls.inputs import (
    bar,
    button,
    checkbox,
    choice,
    number_box,
    quiet,
    set_traits,
    sized,
    text_box,
)
from qwidgets.widgets.controls.lifetime import Holder, close_tree, held_in
from qwidgets.widgets.controls.number_input import NumberInput
from qwidgets.widgets.controls.outline import around as outline_around
from qwidgets.widgets.controls.outline import runs
from qwidgets.widgets.controls.plan_view import PlanView, known_names, share
from qwidgets.widgets.controls.progress_row import ProgressRow
from qwidgets.widgets.controls.scripted import Scripted, built
from qwidgets.widgets.controls.silence import Silence
from qwidgets.widgets.controls.static_page import page as plan_page
from qwidgets.widgets.controls.style import (
    ACCENT,
    BACKGROUNDS,
    LIMITS,
    OVERFLOW,
    UNDERFLOW,
    WIDGET_MARGIN,
    Severity,
    escaped,
    number_text,
    percent_text,
    problems,
    severity_of,
    shortened,
)
from qwidgets.widgets.controls.view import View, in_plain_words
from qwidgets.widgets.controls.window_controls import Move, WindowControls
from qwidgets.widgets.controls.window_moves import highest as highest_bit
from qwidgets.widgets.controls.window_moves import of_channels as window_of_channels
from qwidgets.widgets.controls.window_moves import together as moved_together
from qwidgets.widgets.controls.window_moves import with_edges

__all__ = [
    "ACCENT",
    "BACKGROUNDS",
    "BADGES",
    "CELL",
    "DRAWING",
    "LEFT",
    "LIMITS",
    "MORE",
    "OVERFLOW",
    "UNDERFLOW",
    "WIDGET_MARGIN",
    "BitBars",
    "Holder",
    "Move",
    "NumberInput",
    "PlanView",
    "ProgressRow",
    "Scripted",
    "Severity",
    "Silence",
    "View",
    "WindowControls",
    "bar",
    "built",
    "button",
    "checkbox",
    "choice",
    "close_tree",
    "counts_html",
    "drawing",
    "escaped",
    "file_name",
    "grid_html",
    "guarded",
    "heard_whole",
    "heat_map_html",
    "held_in",
    "highest_bit",
    "in_plain_words",
    "known_names",
    "label_ticks",
    "labelled_axis",
    "moved_together",
    "number_box",
    "number_text",
    "outcome_table",
    "outline_around",
    "percent_text",
    "plan_page",
    "problems",
    "quiet",
    "runs",
    "set_traits",
    "severity_of",
    "share",
    "shortened",
    "sized",
    "story_html",
    "text_box",
    "tick_spacing",
    "width",
    "window_of_channels",
    "with_edges",
]

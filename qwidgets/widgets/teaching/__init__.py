"""Views to learn fixed point with; none needs a network."""

from qwidgets.widgets.teaching.bit_explorer import BitExplorer
from qwidgets.widgets.teaching.number_line import NumberLine
from qwidgets.widgets.teaching.question import Question
from qwidgets.widgets.teaching.rounding_table import RoundingTable
from qwidgets.widgets.teaching.sine_scope import SineScope

__all__ = ["BitExplorer", "NumberLine", "Question", "RoundingTable", "SineScope"]

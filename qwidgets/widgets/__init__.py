"""Views over a plan for notebooks: the workbench and its parts. Everything they show can be had without them."""

from qwidgets.widgets.bit_explorer import BitExplorer
from qwidgets.widgets.bit_heat_map import BitHeatMap
from qwidgets.widgets.layer_table import LayerTable
from qwidgets.widgets.number_line import NumberLine
from qwidgets.widgets.rounding_table import RoundingTable
from qwidgets.widgets.sensitivity_chart import SensitivityChart
from qwidgets.widgets.sine_scope import SineScope
from qwidgets.widgets.window_editor import WindowEditor
from qwidgets.widgets.workbench import Workbench

__all__ = [
    "BitExplorer",
    "BitHeatMap",
    "LayerTable",
    "NumberLine",
    "RoundingTable",
    "SensitivityChart",
    "SineScope",
    "WindowEditor",
    "Workbench",
]

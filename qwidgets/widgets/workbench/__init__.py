"""The one screen: the workbench and its parts, which stand alone, too."""

from qwidgets.widgets.workbench.bit_heat_map import BitHeatMap
from qwidgets.widgets.workbench.layer_table import LayerTable
from qwidgets.widgets.workbench.sensitivity_chart import SensitivityChart
from qwidgets.widgets.workbench.window_editor import WindowEditor
from qwidgets.widgets.workbench.workbench import Workbench

__all__ = ["BitHeatMap", "LayerTable", "SensitivityChart", "WindowEditor", "Workbench"]

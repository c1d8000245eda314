"""The one screen: the workbench and its parts, which stand alone, too; its tabs register themselves."""

# The order in which they stand.
from qwidgets.widgets.workbench.window_panel import WindowPanel  # isort: skip
from qwidgets.widgets.workbench.remedies_panel import RemediesPanel  # isort: skip
from qwidgets.widgets.workbench.propose_panel import ProposePanel  # isort: skip
from qwidgets.widgets.workbench.result_panel import ResultPanel  # isort: skip
from qwidgets.widgets.workbench.steps_panel import StepsPanel  # isort: skip
from qwidgets.widgets.workbench.export_panel import ExportPanel  # isort: skip
from qwidgets.widgets.workbench.history_panel import HistoryPanel  # isort: skip
from qwidgets.widgets.workbench.log_panel import LogPanel  # isort: skip
from qwidgets.widgets.workbench.bit_heat_map import BitHeatMap
from qwidgets.widgets.workbench.layer_table import LayerTable
from qwidgets.widgets.workbench.panel import PANELS, register_panel
from qwidgets.widgets.workbench.sensitivity_chart import SensitivityChart
from qwidgets.widgets.workbench.session_view import SessionView
from qwidgets.widgets.workbench.window_editor import WindowEditor
from qwidgets.widgets.workbench.workbench import Workbench

__all__ = [
    "PANELS",
    "BitHeatMap",
    "ExportPanel",
    "HistoryPanel",
    "LayerTable",
    "LogPanel",
    "ProposePanel",
    "RemediesPanel",
    "ResultPanel",
    "SensitivityChart",
    "SessionView",
    "StepsPanel",
    "WindowEditor",
    "WindowPanel",
    "Workbench",
    "register_panel",
]

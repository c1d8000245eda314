"""Views over a plan for notebooks: the workbench and its parts. Everything they show can be had without them."""

from qwidgets.widgets.teaching import BitExplorer, NumberLine, RoundingTable, SineScope
from qwidgets.widgets.workbench import (
    BitHeatMap,
    LayerTable,
    SensitivityChart,
    WindowEditor,
    Workbench,
    register_panel,
)

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
    "register_panel",
]

"""One committed plan, written down for the tools that build hardware and firmware: one module a target.

Each gives the same integers as :func:`qwidgets.quantize`, or refuses with an error that names what it cannot take.
Packages that only one target needs are imported when it is asked for.
"""

# The order in which they are offered.
from qwidgets.export.report import write  # isort: skip
from qwidgets.export.record import to_csv, to_json  # isort: skip
from qwidgets.export.to_onnx import OnnxExport, to_onnx  # isort: skip
from qwidgets.export.to_qonnx import to_qonnx  # isort: skip
from qwidgets.export.to_c import to_c  # isort: skip
from qwidgets.export.to_tflite import TfliteExport, to_tflite  # isort: skip
from qwidgets.export.hls4ml_file import write_hls4ml  # isort: skip
from qwidgets.export.to_espdl import to_espdl  # isort: skip
from qwidgets.export.to_aimet import to_aimet  # isort: skip
from qwidgets.export.registry import EXPORTS, Export, register_export
from qwidgets.export.to_hls4ml import hls4ml_model, to_hls4ml

__all__ = [
    "EXPORTS",
    "Export",
    "OnnxExport",
    "TfliteExport",
    "hls4ml_model",
    "register_export",
    "to_aimet",
    "to_c",
    "to_csv",
    "to_espdl",
    "to_hls4ml",
    "to_json",
    "to_onnx",
    "to_qonnx",
    "to_tflite",
    "write",
    "write_hls4ml",
]

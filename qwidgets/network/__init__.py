"""A model captured once: its tensors as rows, its operations, and a way to run it."""

from qwidgets.network.autocast import AutocastScope
from qwidgets.network.evaluation import evaluate
from qwidgets.network.inputs import FreeSizes, InputSpec, TensorSpec
from qwidgets.network.network import Network, Observer, capture, unwrapped
from qwidgets.network.operation import Layer, Operation
from qwidgets.network.operations import CLAMPS, clamp_bounds, is_exact_number
from qwidgets.network.rows import Kind, Row, difference, digest_of, shape_of, widened
from qwidgets.network.sums import LAYERS, PRODUCTS, TOTALS, Sum
from qwidgets.network.sums import find as find_sums

__all__ = [
    "CLAMPS",
    "LAYERS",
    "PRODUCTS",
    "TOTALS",
    "AutocastScope",
    "FreeSizes",
    "InputSpec",
    "Kind",
    "Layer",
    "Network",
    "Observer",
    "Operation",
    "Row",
    "Sum",
    "TensorSpec",
    "capture",
    "clamp_bounds",
    "difference",
    "digest_of",
    "evaluate",
    "find_sums",
    "is_exact_number",
    "shape_of",
    "unwrapped",
    "widened",
]

"""A model captured once: its tensors as rows, its operations, and a way to run it."""

from qwidgets.network.folding import compute
from qwidgets.network.fusion import Group, fold, scale_and_shift
from qwidgets.network.inputs import FreeSizes, InputSpec, TensorSpec
from qwidgets.network.network import Network, Observer, capture, unwrapped
from qwidgets.network.operations import arguments
from qwidgets.network.rows import Kind, Layer, Row, difference, digest_of, shape_of, widened
from qwidgets.network.sums import LAYERS, PRODUCTS, TOTALS, Sum

__all__ = [
    "LAYERS",
    "PRODUCTS",
    "TOTALS",
    "FreeSizes",
    "Group",
    "InputSpec",
    "Kind",
    "Layer",
    "Network",
    "Observer",
    "Row",
    "Sum",
    "TensorSpec",
    "arguments",
    "capture",
    "compute",
    "difference",
    "digest_of",
    "fold",
    "scale_and_shift",
    "shape_of",
    "unwrapped",
    "widened",
]

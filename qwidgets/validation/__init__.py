"""What a plan does to its network, over data that the plan has not seen.

:func:`validate` puts float and quantized side by side, :func:`sensitivity` tells what each row costs, :func:`cost` what
each layer takes, and :func:`health` says in a word how the network is. They change neither the model nor the plan.
"""

from qwidgets.validation.comparison import compare, validate
from qwidgets.validation.float_reference import FloatReference
from qwidgets.validation.health_report import Health, health
from qwidgets.validation.layer_costs import cost
from qwidgets.validation.metrics import SHARES, Metric
from qwidgets.validation.quantization_error import QuantizationError
from qwidgets.validation.row_ablation import Outcome, RowAblation
from qwidgets.validation.row_sensitivity import sensitivity
from qwidgets.validation.side_by_side import run_both
from qwidgets.validation.sizes import parameter_bytes
from qwidgets.validation.weak_rows import suspects

__all__ = [
    "SHARES",
    "FloatReference",
    "Health",
    "Metric",
    "Outcome",
    "QuantizationError",
    "RowAblation",
    "compare",
    "cost",
    "health",
    "parameter_bytes",
    "run_both",
    "sensitivity",
    "suspects",
    "validate",
]

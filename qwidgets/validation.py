"""What a plan does to its network, over data that the plan has not seen.

:func:`validate` puts float and quantized side by side, :func:`sensitivity` tells what each row costs, :func:`cost` what
each layer takes, and :func:`health` says in a word how the network is. They change neither the model nor the plan.
"""

from qwidgets.validating.comparison import validate
from qwidgets.validating.cost import cost
from qwidgets.validating.health import Health, health
from qwidgets.validating.metrics import Metric
from qwidgets.validating.sensitivity import sensitivity

__all__ = ["Health", "Metric", "cost", "health", "sensitivity", "validate"]

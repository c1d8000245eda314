"""Which weights and biases are read in one way only, so that windows per channel and the accumulator's step fit them.

A layer may be called again on a tensor of another scale, and a tensor may belong to several layers. A bias then is
added to sums of several steps, and the rows of a weight need not be output channels for all that read it.
"""

from qwidgets.calibration import Calibration
from qwidgets.formats import CHANNELS_FIRST
from qwidgets.network import Row


def has_one_accumulator(calibration: Calibration, bias: Row) -> bool:
    """Whether a bias is added to the sums of one call of one layer."""
    if not calibration.sums:
        return _is_called_once(calibration, bias)
    return sum(bias.name in (each.bias, *each.reads) for each in calibration.sums) == 1


def has_output_channels_first(calibration: Calibration, weight: Row) -> bool:
    """Whether all that reads a weight takes its first dimension for that of the output channels."""
    if not calibration.sums:
        return len(weight.fused) == 1 or _is_called_once(calibration, weight)
    reading = [each for each in calibration.sums if weight.name in (each.weight, each.bias, *each.reads)]
    return all(each.weight == weight.name and each.operation in CHANNELS_FIRST for each in reading)


def _is_called_once(calibration: Calibration, constant: Row) -> bool:
    """Tell it from the rows alone, for statistics that an older version saved."""
    layers = {constant.layer, *constant.fused}
    return sum(row.kind == "activation" and row.layer in layers for row in calibration.rows) == 1

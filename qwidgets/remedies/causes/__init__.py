"""What makes a row cost much, a cause a module; each registers itself."""

# The order in which they are told where their remedies gain as much: the special before the plain.
from qwidgets.remedies.causes import dead_low_bits  # isort: skip
from qwidgets.remedies.causes import overflowing_sums  # isort: skip
from qwidgets.remedies.causes import wrong_sign  # isort: skip
from qwidgets.remedies.causes import shared_window  # isort: skip
from qwidgets.remedies.causes import channels_differ  # isort: skip
from qwidgets.remedies.causes import coarse_bias  # isort: skip
from qwidgets.remedies.causes import outlier_tail  # isort: skip
from qwidgets.remedies.causes import cut_off  # isort: skip
from qwidgets.remedies.causes import wrong_window  # isort: skip
from qwidgets.remedies.causes import shifted_mean  # isort: skip
from qwidgets.remedies.causes import amplified  # isort: skip
from qwidgets.remedies.causes import few_bits  # isort: skip

__all__ = [
    "amplified",
    "channels_differ",
    "coarse_bias",
    "cut_off",
    "dead_low_bits",
    "few_bits",
    "outlier_tail",
    "overflowing_sums",
    "shared_window",
    "shifted_mean",
    "wrong_sign",
    "wrong_window",
]

"""Steps that mend a network under its formats, each judged on data kept aside; each module registers its own."""

# The order in which they are offered; mending does the others.
from qwidgets.adjusting.equalization import equalize  # isort: skip
from qwidgets.adjusting.format_search import search  # isort: skip
from qwidgets.adjusting.bias_correction import correct_bias  # isort: skip
from qwidgets.adjusting.adaptive_rounding import round_adaptively  # isort: skip
from qwidgets.adjusting.fine_tuning import fine_tune  # isort: skip
from qwidgets.adjusting.mending import mend  # isort: skip
from qwidgets.adjusting.fake_quantization import FakeQuantized, fake_quantized
from qwidgets.adjusting.kept_aside import surely_less
from qwidgets.adjusting.layerwise import leaves_of
from qwidgets.adjusting.step import STEPS, Adjusted, Drafted, Step, Unchanged, find_step, register_step

__all__ = [
    "STEPS",
    "Adjusted",
    "Drafted",
    "FakeQuantized",
    "Step",
    "Unchanged",
    "correct_bias",
    "equalize",
    "fake_quantized",
    "find_step",
    "fine_tune",
    "leaves_of",
    "mend",
    "register_step",
    "round_adaptively",
    "search",
    "surely_less",
]

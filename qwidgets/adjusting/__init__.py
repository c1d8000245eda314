"""Steps that mend a network under its formats, each judged on data that it kept aside."""

from qwidgets.adjusting.adaptive_rounding import round_adaptively
from qwidgets.adjusting.bias_correction import correct_bias
from qwidgets.adjusting.equalization import equalize
from qwidgets.adjusting.format_search import search
from qwidgets.adjusting.layerwise import leaves_of

__all__ = ["correct_bias", "equalize", "leaves_of", "round_adaptively", "search"]

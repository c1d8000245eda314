"""What the teaching widgets show, as plain functions: bits, outcomes, reasons, ties and signals.

Whatever a student sees on the screen comes from here, so that it can be computed, tested and used in a script as well.
Nothing here knows of widgets, networks or plans.
"""

from qwidgets.teaching.bits import (
    MOST_PLACES,
    bit_table,
    bits_of,
    count_outcomes,
    goes_on_below,
    ideal_bits,
    msb_of,
    msbs_of,
    story_of,
    wide_code,
    word,
)
from qwidgets.teaching.columns import Columns, MsbCounts, examples
from qwidgets.teaching.lesson_steps import PRESETS, STEPS, WINDOW
from qwidgets.teaching.line_points import Line, number_line
from qwidgets.teaching.pasted import Pasted, as_values, read_numbers, values_text
from qwidgets.teaching.proposals import Proposal, propose
from qwidgets.teaching.signals import (
    Quantized,
    Signal,
    chirp,
    quantize_signal,
    read_signal,
    rule_db,
    sine,
    sqnr_by_word_length,
    sqnr_db,
    to_wav,
)
from qwidgets.teaching.signals import from_array as signal_from_array
from qwidgets.teaching.ties import RULES, TIES, mean_errors, rounding_table

__all__ = [
    "MOST_PLACES",
    "PRESETS",
    "RULES",
    "STEPS",
    "TIES",
    "WINDOW",
    "Columns",
    "Line",
    "MsbCounts",
    "Pasted",
    "Proposal",
    "Quantized",
    "Signal",
    "as_values",
    "bit_table",
    "bits_of",
    "chirp",
    "count_outcomes",
    "examples",
    "goes_on_below",
    "ideal_bits",
    "mean_errors",
    "msb_of",
    "msbs_of",
    "number_line",
    "propose",
    "quantize_signal",
    "read_numbers",
    "read_signal",
    "rounding_table",
    "rule_db",
    "signal_from_array",
    "sine",
    "sqnr_by_word_length",
    "sqnr_db",
    "story_of",
    "to_wav",
    "values_text",
    "wide_code",
    "word",
]

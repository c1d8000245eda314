"""What the teaching widgets show, as plain functions: bits, outcomes, reasons, ties and signals.

Whatever a student sees on the screen comes from here, so that it can be computed, tested and used in a script as well.
Nothing here knows of widgets, networks or plans.
"""

from qwidgets.teaching.bits import bit_table, count_outcomes, ideal_bits, msbs_of, word
from qwidgets.teaching.columns import Columns, MsbCounts, examples
from qwidgets.teaching.lesson_steps import PRESETS, STEPS, WINDOW
from qwidgets.teaching.line_points import Line, number_line
from qwidgets.teaching.pasted import Pasted, as_values, read_numbers, written
from qwidgets.teaching.proposals import Proposal, propose
from qwidgets.teaching.signals import Signal, sqnr_db
from qwidgets.teaching.ties import RULES, TIES, mean_errors, rounding_table

__all__ = [
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
    "Signal",
    "as_values",
    "bit_table",
    "count_outcomes",
    "examples",
    "ideal_bits",
    "mean_errors",
    "msbs_of",
    "number_line",
    "propose",
    "read_numbers",
    "rounding_table",
    "sqnr_db",
    "word",
    "written",
]

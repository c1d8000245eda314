"""What the consumers of a plan can take, as rules: which formats, which operations, which shifts.

A `Target` is facts alone; :func:`check` says what of a plan does not fit one, and :func:`propose` keeps to it.
"""

from qwidgets.targets.checking import check, check_formats
from qwidgets.targets.proposing import propose
from qwidgets.targets.registry import TARGETS, find, register_target
from qwidgets.targets.target import Target

__all__ = ["TARGETS", "Target", "check", "check_formats", "find", "propose", "register_target"]

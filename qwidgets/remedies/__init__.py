"""What should be done next: which rows cost a network most under its plan, why, and what was tried against it.

A cause looks at what is known of a row and names what might help; that is then tried, on data that no step has seen.
"""

from qwidgets.remedies import causes
from qwidgets.remedies.cause import CAUSES, Cause, Evidence, Trial, register_cause
from qwidgets.remedies.diagnosis import find_remedies
from qwidgets.remedies.findings import Finding, Findings, Remedy

__all__ = [
    "CAUSES",
    "Cause",
    "Evidence",
    "Finding",
    "Findings",
    "Remedy",
    "Trial",
    "causes",
    "find_remedies",
    "register_cause",
]

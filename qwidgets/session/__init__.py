"""What a workbench does beside a notebook, without a screen: jobs, results of drafts and commits, batches held back."""

from qwidgets.session.background import CalibrationRun
from qwidgets.session.job_queue import Job, JobQueue, Pace
from qwidgets.session.live_validation import Checked, LiveValidation, Material
from qwidgets.session.results_cache import SHARES, Evaluate, Result, ResultsCache
from qwidgets.session.samples import HeldBack, can_be_read_again
from qwidgets.session.throttle import Debounce, Throttle

__all__ = [
    "SHARES",
    "CalibrationRun",
    "Checked",
    "Debounce",
    "Evaluate",
    "HeldBack",
    "Job",
    "JobQueue",
    "LiveValidation",
    "Material",
    "Pace",
    "Result",
    "ResultsCache",
    "Throttle",
    "can_be_read_again",
]

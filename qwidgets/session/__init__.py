"""What a workbench does beside a notebook, without a screen: jobs, results of drafts and commits, batches held back."""

from qwidgets.session.background import CalibrationRun
from qwidgets.session.job_queue import Job, JobQueue, Pace
from qwidgets.session.listener import Listener
from qwidgets.session.live_validation import Checked, LiveValidation, Material
from qwidgets.session.results_cache import SHARES, Evaluate, Result, ResultsCache
from qwidgets.session.samples import HeldBack, can_be_read_again
from qwidgets.session.session import NO_DATA, Session
from qwidgets.session.states import Calibrating, Counting, Failed, State, Tuning
from qwidgets.session.throttle import Debounce, Throttle

__all__ = [
    "NO_DATA",
    "SHARES",
    "Calibrating",
    "CalibrationRun",
    "Checked",
    "Counting",
    "Debounce",
    "Evaluate",
    "Failed",
    "HeldBack",
    "Job",
    "JobQueue",
    "Listener",
    "LiveValidation",
    "Material",
    "Pace",
    "Result",
    "ResultsCache",
    "Session",
    "State",
    "Throttle",
    "Tuning",
    "can_be_read_again",
]

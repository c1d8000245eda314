"""What a workbench does beside a notebook, without a screen: jobs, results of drafts and commits, batches held back."""

from qwidgets.session.background import CalibrationRun
from qwidgets.session.job_queue import Job, JobQueue, Pace
from qwidgets.session.listener import Listener
from qwidgets.session.live_validation import Checked, LiveValidation, Material
from qwidgets.session.log import Entry, Log
from qwidgets.session.remedy_search import RemedySearch
from qwidgets.session.results_cache import Evaluate, Result, ResultsCache
from qwidgets.session.samples import HeldBack, can_be_read_again
from qwidgets.session.session import Session
from qwidgets.session.states import Calibrating, Counting, Failed, State, Tuning
from qwidgets.session.step_result import StepResult
from qwidgets.session.throttle import Debounce, Throttle

__all__ = [
    "Calibrating",
    "CalibrationRun",
    "Checked",
    "Counting",
    "Debounce",
    "Entry",
    "Evaluate",
    "Failed",
    "HeldBack",
    "Job",
    "JobQueue",
    "Listener",
    "LiveValidation",
    "Log",
    "Material",
    "Pace",
    "RemedySearch",
    "Result",
    "ResultsCache",
    "Session",
    "State",
    "StepResult",
    "Throttle",
    "Tuning",
    "can_be_read_again",
]

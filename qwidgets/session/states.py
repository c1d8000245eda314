"""What a session is at, one class a state, so that what a state has is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qwidgets.plan import Plan
from qwidgets.session.background import CalibrationRun
from qwidgets.session.live_validation import LiveValidation
from qwidgets.session.remedy_search import RemedySearch
from qwidgets.session.samples import HeldBack
from qwidgets.session.target_check import TargetCheck


@dataclass(frozen=True)
class Calibrating:
    """The network is being captured."""

    run: CalibrationRun
    held_back: HeldBack


@dataclass(frozen=True)
class Counting:
    """The network is captured, its tensors are being counted."""

    run: CalibrationRun
    held_back: HeldBack
    plan: Plan


@dataclass(frozen=True)
class Tuning:
    """The calibration is over.

    Attributes
    ----------
    plan
        The formats.
    live
        What measures them.
    data
        What steps look at; None where there is nothing that can be read again, and ``lack`` says why.
    check
        What of the formats does not fit the target.
    remedies
        What would mend them.
    """

    plan: Plan
    live: LiveValidation
    data: Iterable[Any] | None
    lack: str
    check: TargetCheck
    remedies: RemedySearch


@dataclass(frozen=True)
class Failed:
    """The network could not be captured."""

    problem: Exception


State = Calibrating | Counting | Tuning | Failed

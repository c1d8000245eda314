"""What a session calls as things happen; a view overrides what it wants to see."""

from qwidgets.plan import Plan
from qwidgets.session.job_queue import Pace


class Listener:
    """Listens to nothing. Every method is called from threads other than the notebook's."""

    def on_captured(self, plan: Plan) -> None:
        """Called with the plan once the network has been captured; its counts grow from then on."""

    def on_counts(self) -> None:
        """Called when more has been counted."""

    def on_calibrated(self, problem: Exception | None) -> None:
        """Called with what ended the calibration before its time, or None, when it is over and formats are proposed."""

    def on_measured(self) -> None:
        """Called when more is known of what the formats do."""

    def on_pace(self, pace: Pace | None) -> None:
        """Called with how far the job at hand is, be it a measurement, a step or an export; None when there is none."""

    def on_problem(self, problem: Exception) -> None:
        """Called with what a measurement raised; the plan is as it was."""

    def on_checked(self) -> None:
        """Called when more is known of what does not fit the target."""

    def on_remedies(self) -> None:
        """Called when more is known of what costs most and what would mend it."""

    def on_log(self) -> None:
        """Called after the log has one entry more."""

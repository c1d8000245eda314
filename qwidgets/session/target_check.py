"""What of a plan does not fit the consumer that it is made for, kept up to date beside the caller.

The formats by themselves are checked at once, whatever moves; what only the network can tell, in the background when
things stand still.
"""

from collections.abc import Callable, Mapping

import pandas as pd

from qwidgets import targets
from qwidgets.plan import Plan
from qwidgets.session.job_queue import Job, JobQueue
from qwidgets.session.throttle import Debounce

PAUSE, AT_MOST = 0.4, 5.0


class TargetCheck:
    """Checks a plan, drafts counted, against a target.

    Parameters
    ----------
    plan
        What is checked.
    on_found
        Called when more is known.

    Attributes
    ----------
    target
        The name of the target; None for any.
    found
        What does not fit: tensor by tensor with ``reason`` and ``remedy``, as :meth:`qwidgets.Plan.check` gives; None
        where no target is picked.
    looking
        Whether the network is still to be looked at.
    problem
        What went wrong as it was looked at; None if nothing did.
    """

    def __init__(self, plan: Plan, on_found: Callable[[], None]) -> None:
        self.target: str | None = None
        self.found: pd.DataFrame | None = None
        self.looking = False
        self.problem: Exception | None = None
        self._plan, self._on_found = plan, on_found
        self._of_network: pd.DataFrame | None = None
        """What the network told last, beyond the formats by themselves."""
        self._jobs = JobQueue("check", lambda _: None, self._on_error)
        self._look_closer = Debounce(self._ask, PAUSE, AT_MOST)

    @property
    def misfits(self) -> Mapping[str, str]:
        """Why each tensor does not fit that does not."""
        if self.found is None:
            return {}
        reasons = self.found[self.found.index.isin(self._plan.names)].groupby(level=0, sort=False)["reason"]
        return {str(name): "; ".join(texts) for name, texts in reasons}

    def pick(self, target: str | None) -> None:
        """Check against another target, or None.

        Raises
        ------
        PlanError
            There is no such target.
        """
        if target is not None:
            targets.find(target)
        self.target, self._of_network = target, None
        self.follow()

    def follow(self) -> None:
        """Check the formats as they are now."""
        if self.target is None and self.found is None:
            return
        if self.target is None:
            self.found, self.looking, self.problem = None, False, None
        else:
            quick = targets.check_formats(self._plan, self.target)
            # Until the network is looked at again, what it told last stands: nothing flickers while a window moves.
            self.found = quick if self._of_network is None else pd.concat([quick, self._of_network])
            self.looking, self.problem = self._plan.model is not None, None
            if self.looking:
                self._look_closer()
        self._on_found()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until what is checked in the background is known; say whether it is."""
        self._look_closer.flush()
        return self._jobs.wait(seconds)

    def stop(self) -> None:
        """End what is checked in the background."""
        self._look_closer.cancel()
        self._jobs.stop()

    def _ask(self) -> None:
        if (target := self.target) is not None:
            self._jobs.ask("check", lambda job: self._check(target, job))

    def _check(self, target: str, job: Job) -> None:
        now = self._plan.change
        found = self._plan.check(target)
        if job.stopped or self._plan.change is not now or target != self.target:
            return
        quick = targets.check_formats(self._plan, target)
        known = set(zip(quick.index, quick["reason"], strict=True))
        beyond = [one not in known for one in zip(found.index, found["reason"], strict=True)]
        self._of_network, self.found, self.looking = found[beyond], found, False
        self._on_found()

    def _on_error(self, error: Exception) -> None:
        self.looking, self.problem = False, error
        self._on_found()

"""Looks for what costs a plan's network most and what would mend it, beside the caller, when somebody asks.

What was found belongs to the formats that it was found under; it stays to be read when they change, and says so.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from qwidgets.plan import Plan
from qwidgets.remedies import Finding, Findings
from qwidgets.session.job_queue import Job, JobQueue, Pace
from qwidgets.session.live_validation import Material
from qwidgets.session.results_cache import as_if_committed, has_same_formats
from qwidgets.session.samples import first

SAMPLES = 32
"""What is tried is judged on so many samples."""


class RemedySearch:
    """Looks for remedies of a plan, its drafts counted.

    Parameters
    ----------
    plan
        What is looked at.
    material
        The network, and the data to judge by: those that were held back, or else the first to validate with.
    learn_from
        What steps look at; None where there is nothing.
    target
        Gives the name of the target that the plan is for, None for any.
    on_found
        Called when more is known.
    on_pace
        Called with how far it is; None when it is over.
    on_error
        Called with what went wrong; the plan is as it was.

    Attributes
    ----------
    findings
        What was found; None before anybody asked.
    """

    def __init__(
        self,
        plan: Plan,
        material: Material,
        learn_from: Iterable[Any] | None,
        target: Callable[[], str | None],
        on_found: Callable[[], None],
        on_pace: Callable[[Pace | None], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.findings: Findings | None = None
        self._plan, self._material, self._learn_from = plan, material, learn_from
        self._target, self._on_found = target, on_found
        self._jobs = JobQueue("remedies", on_pace, on_error)

    @property
    def lack(self) -> str:
        """What is missing to look; "" if nothing is."""
        return self._material.lack

    @property
    def busy(self) -> bool:
        """Whether it is looking."""
        return self._jobs.busy

    @property
    def holds(self) -> bool:
        """Whether the plan, its drafts counted, still has the formats that the findings are of."""
        tried_on = self.findings.tried_on if self.findings is not None else None
        return tried_on is not None and has_same_formats(self._plan, tried_on)

    def look(self, names: Iterable[str] | None = None, *, steps: bool = False) -> None:
        """Look for the dearest tensors and what helps, or for what helps those that are named.

        With ``steps`` the steps are tried, too, each of which takes as long as it takes.
        """
        asked = None if names is None else list(names)
        self._jobs.ask("remedies", lambda job: self._look(asked, steps, job))

    def told(self, plan: Plan) -> dict[str, Findings]:
        """Give what was found for what a plan has committed, as an export takes it; nothing where nothing was."""
        findings = self.findings
        return {"remedies": findings} if findings is not None and findings.hold_for(plan) else {}

    def stop(self) -> None:
        """End the search; what was found so far stays."""
        self._jobs.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is asked any more; say whether that is so."""
        return self._jobs.wait(seconds)

    def _look(self, names: list[str] | None, steps: bool, job: Job) -> None:
        validation = self._material.validation
        assert validation is not None  # there is a lack otherwise, and nobody can ask
        before = self.findings if names is not None and self.holds else None

        def on_found(findings: Findings) -> None:
            self.findings = _joined(before, findings)
            self._on_found()

        as_if_committed(self._plan).remedies(
            first(self._material.held_back or validation, SAMPLES),
            self._material.model,
            names=names,
            learn_from=self._learn_from if steps else None,
            target=self._target(),
            progress=lambda what, done, total: job.advance(done, total, f"in {what}"),
            stop=lambda: job.stopped,
            on_found=on_found,
        )


def _joined(before: Findings | None, now: Findings) -> Findings:
    """Put what was found of some rows into the place of what was known of them, or behind it."""
    if before is None:
        return now
    anew = {finding.row: finding for finding in now}
    found: list[Finding] = [anew.pop(finding.row, finding) for finding in before]
    return dataclasses.replace(before, found=(*found, *anew.values()))

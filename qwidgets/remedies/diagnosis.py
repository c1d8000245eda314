"""Finds out what costs a network most under its plan, why, and what would mend it, by trying."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import nn

from qwidgets.adjusting import Adjusted, find_step
from qwidgets.progress import OnProgress, Progress, Stopped
from qwidgets.remedies import whole_network
from qwidgets.remedies.findings import Finding, Findings, Remedy, in_order
from qwidgets.remedies.study import Study
from qwidgets.targets import Target
from qwidgets.tuning import PlanState
from qwidgets.validation import Metric

OnFound = Callable[[Findings], object]

MOST_ROWS = 8
"""So many rows are looked at, the dearest ones, where none are named."""


def find_remedies(
    model: nn.Module,
    plan: PlanState,
    data: Iterable[Any],
    metric: Metric | None = None,
    *,
    names: Iterable[str] | None = None,
    learn_from: Iterable[Any] | None = None,
    target: str | Target | None = None,
    progress: bool | OnProgress = True,
    stop: Callable[[], bool] | None = None,
    on_found: OnFound | None = None,
) -> Findings:
    """Do what :meth:`qwidgets.Plan.remedies` says.

    Parameters
    ----------
    on_found
        Called with what is known so far, each time that is more.

    Raises
    ------
    PlanError
        The plan is of another network, has no row of such a name, or there is no such target.
    DataError
        There is no batch, or one cannot be read or fed, or the metric raises or gives no number.
    """
    asked = None if names is None else [names] if isinstance(names, str) else list(names)
    rows = None if asked is None else list(dict.fromkeys(plan.row(name).name for name in asked))
    bar = Progress(progress, stop)
    plan = plan.copy()  # which holds still while the other is worked on
    search: _Search | None = None
    with contextlib.suppress(Stopped):
        with bar.over(1, "the network as it is"):
            study = Study(model, plan, data, metric, target)
            bar.step()
        search = _Search(study, plan, bar, on_found)
        search.look_at_rows(rows)
        if rows is None:
            search.look_at_whole()
            if learn_from is not None:
                search.try_steps(model, learn_from)
        search.end()
    return Findings(plan.network, {}, 0) if search is None else search.findings


class _Search:
    """What has been found so far, and the ways to find more."""

    def __init__(self, study: Study, plan: PlanState, bar: Progress, on_found: OnFound | None) -> None:
        self._study, self._plan, self._bar, self._on_found = study, plan, bar, on_found
        self.findings = Findings(plan.network, study.whole.figures, study.samples, tried_on=plan)

    def look_at_rows(self, names: Sequence[str] | None) -> None:
        """Find the dearest rows and what helps each, beginning with the dearest."""
        alone: dict[str, float] = {}
        rows = self._study.rows_to_look_at(names)
        with self._bar.over(len(rows), "what each tensor costs"):
            for name in rows:
                alone[name] = self._study.alone(name)
                self._bar.step()
        ordered = sorted(alone, key=lambda name: (not alone[name] < float("inf"), alone[name]))
        dearest = ordered if names is not None else ordered[:MOST_ROWS]
        with self._bar.over(len(dearest), "remedies"):
            for name in dearest:
                self._follow(self._study.finding(name, alone[name]))
                self._bar.step()

    def look_at_whole(self) -> None:
        """Find what helps the network as a whole."""
        with self._bar.over(1, "remedies for the whole"):
            self._follow(self._study.finding_of_whole())
            self._bar.step()

    def try_steps(self, model: nn.Module, learn_from: Iterable[Any]) -> None:
        """Try the steps, each on the plan as it is."""
        data = list(learn_from)
        for name in whole_network.STEPS:
            step = find_step(name)
            done = step.run(model, self._plan, data, self._bar)
            if isinstance(done, Adjusted):
                remedy = self._study.trying.step(step.note, name, done)
                if remedy is not None:
                    self._add(remedy)

    def end(self) -> None:
        """Nothing is left to look at."""
        self._put(dataclasses.replace(self.findings, complete=True))

    def _follow(self, growing: Iterator[Finding]) -> None:
        """Put what is known of a row in its place, each time that is more."""
        before = self.findings.found
        for finding in growing:
            self._put(dataclasses.replace(self.findings, found=(*before, finding)))
            self._bar.go_on()

    def _add(self, remedy: Remedy) -> None:
        """Add what a step does to the rows that it may help, and to the network as a whole."""

        def with_it(finding: Finding) -> Finding:
            if not any(remedy.step in cause.steps for cause in finding.causes):
                return finding
            return dataclasses.replace(finding, remedies=in_order((*finding.remedies, remedy)), tried=finding.tried + 1)

        self._put(dataclasses.replace(self.findings, found=tuple(map(with_it, self.findings.found))))

    def _put(self, findings: Findings) -> None:
        self.findings = findings
        if self._on_found is not None:
            self._on_found(findings)

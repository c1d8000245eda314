"""What a step is: it looks at a network over data, and gives what is better under the plan's formats, or nothing.

Each module of this room registers its step; :func:`register_step` adds one from anywhere else. Plans run steps, and
menus and pages offer them, by what is registered here.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qwidgets.adjusting.kept_aside import Verdict
from qwidgets.errors import PlanError
from qwidgets.tuning import Adjustments, Format


@dataclass(frozen=True)
class Adjusted:
    """What a step changes of a network, to be committed.

    Attributes
    ----------
    adjustments, formats
        The adjustments after it, and the formats that it changed.
    judged
        What it did to the network on the data that it kept aside: a verdict, or words.
    """

    adjustments: Adjustments
    formats: Mapping[str, Format]
    judged: Verdict | str


@dataclass(frozen=True)
class Drafted:
    """Formats for the rows that should change, to be drafted, and what they do on the data kept aside, in words."""

    formats: Mapping[str, Format]
    judged: str


@dataclass(frozen=True)
class Unchanged:
    """That a step found nothing which would be better, and why, in words."""

    reason: str


@dataclass(frozen=True)
class Step:
    """A step, and what a person reads of it before it is done.

    Attributes
    ----------
    name
        What :meth:`qwidgets.Plan.step` knows it by.
    title
        On its button.
    about
        What it does, in a sentence.
    run
        Called with the network, the plan, the data (batches, as for :func:`qwidgets.calibrate`) and a
        :class:`qwidgets.progress.Progress`, and with options by name; gives what it found. It changes neither the
        network nor the plan.
    note
        What the history says of it.
    changes
        Which of the adjustments it makes anew: "factors", "shifts", "roundings".
    takes_budget
        Whether it takes ``budget``, the bytes of all weights and biases.
    switches
        The options that are on or off, by name, each with what it does when it is on, in a few words.
    """

    name: str
    title: str
    about: str
    run: Callable[..., Adjusted | Drafted | Unchanged]
    note: str
    changes: tuple[str, ...] = ()
    takes_budget: bool = False
    switches: Mapping[str, str] = field(default_factory=dict)


STEPS: dict[str, Step] = {}
"""The steps that are known, by name, in the order in which they are offered."""


def register_step(step: Step) -> Step:
    """Make a step known under its name, for :meth:`qwidgets.Plan.step` and for menus.

    Raises
    ------
    PlanError
        There is another one of that name.
    """
    if STEPS.setdefault(step.name, step) is not step:
        raise PlanError(f"there is a step {step.name!r} already; give this one another name")
    return step


def find_step(name: str) -> Step:
    """Give the step of a name.

    Raises
    ------
    PlanError
        There is none; the text suggests one.
    """
    if isinstance(name, str) and name in STEPS:
        return STEPS[name]
    close = difflib.get_close_matches(str(name), STEPS, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise PlanError(f"there is no step {name!r}{hint}; known are {', '.join(STEPS)} (register_step adds one)")

"""An exercise: a question, a solution that is computed, and what to say of an answer that is not it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwidgets.errors import DataError, QwidgetsError
from qwidgets.formats import FixedPoint
from qwidgets.teaching import as_values

UNANSWERED = ("", "...", "…", "?")


@dataclass(frozen=True)
class Verdict:
    """What `check` says: shows itself as text in a script, and as a coloured line in a notebook."""

    right: bool
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = "rgba(0,158,115,.25)" if self.right else "rgba(230,159,0,.28)"
        sign = "✓" if self.right else "→"
        style = f"background:{colour};padding:4px 10px;border-radius:4px;display:inline-block"
        text = self.text.replace("&", "&amp;").replace("<", "&lt;")
        return f"<div role='status' aria-live='polite' style='{style}'>{sign} {text}</div>"


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    key
        Its number: the notebook, and the place in it.
    question
        What is asked.
    read
        Makes of what was given, text of a box or the value itself, what `review` wants. Raises a `QwidgetsError` where
        it cannot.
    solve
        Computes a right answer.
    review
        Says what to look at again, and nothing of a right answer.
    """

    key: str
    question: str
    read: Callable[[Any], Any]
    solve: Callable[[], Any]
    review: Callable[[Any], str]

    def judge(self, answer: Any) -> Verdict:
        """Read an answer and say whether it is right."""
        if answer is None or answer is ... or (isinstance(answer, str) and answer.strip() in UNANSWERED):
            return Verdict(False, "Not answered yet.")
        try:
            advice = self.review(self.read(answer))
        except QwidgetsError as error:
            return Verdict(False, f"Look again: {error}")
        return Verdict(False, f"Look again: {advice}") if advice else Verdict(True, "Right.")


def a_number(answer: Any) -> float:
    """Read one number.

    Examples
    --------
    >>> a_number("0.5"), a_number(2)
    (0.5, 2.0)
    """
    values = numbers(answer)
    if values.size != 1:
        raise DataError(f"one number is asked for, and {values.size} were given.")
    return float(values[0])


def numbers(answer: Any) -> Any:
    """Read one number or several, as an array."""
    return as_values(answer)


def a_format(answer: Any) -> FixedPoint:
    """Read a format: itself, a notation, or a widget that shows one.

    Examples
    --------
    >>> a_format("Q4.3") == FixedPoint(8, 3)
    True
    """
    fmt = getattr(answer, "format", None) if not isinstance(answer, str) else None
    if isinstance(fmt, FixedPoint):
        return fmt
    if isinstance(answer, FixedPoint):
        return answer
    return FixedPoint.parse(answer)


def words(answer: Any) -> str:
    """Read text; spaces do not count.

    Raises
    ------
    DataError
        It is no text.
    """
    if not isinstance(answer, str):
        raise DataError(f"text is asked for, in quotation marks, and not {type(answer).__name__}.")
    return "".join(answer.split())


def same(answer: Any, solution: Any) -> bool:
    """Whether numbers agree to within what people write down: four digits.

    Examples
    --------
    >>> same(0.33333, 1 / 3), same([1, 2], [1, 3]), same([1], [1, 1])
    (True, False, False)
    """
    first, second = np.asarray(answer, float), np.asarray(solution, float)
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=5e-4, atol=1e-12))


def differing(answer: Any, solution: Any, names: tuple[str, ...]) -> str:
    """The name of the first number that is not right; nothing where all are.

    Examples
    --------
    >>> differing([1, 3], [1, 2], ("the first", "the second"))
    'the second'
    """
    if len(answer) != len(names):
        return f"{len(names)} numbers are asked for: {', '.join(names)}"
    return next((name for a, b, name in zip(answer, solution, names, strict=True) if not same(a, b)), "")

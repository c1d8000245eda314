"""The exercises of the course in ``notebooks/course``: what is asked, and whether an answer is right.

>>> check("1.1", (-16, 15.875, 0.125)).right
True
>>> print(check("1.1", (-16, 16, 0.125)))
Look again: the largest. The codes of 8 bits go from -128 to 127, not to 128.

An answer is compared with one that is computed when it is asked for; no solution is written down anywhere.
"""

from typing import Any

from qwidgets.course import lesson_1, lesson_2, lesson_3, lesson_4, lesson_5, lesson_6
from qwidgets.course.exercise import Exercise, Verdict
from qwidgets.errors import DataError

__all__ = ["EXERCISES", "Exercise", "Verdict", "ask", "check"]

EXERCISES: dict[str, Exercise] = {
    exercise.key: exercise
    for lesson in (lesson_1, lesson_2, lesson_3, lesson_4, lesson_5, lesson_6)
    for exercise in lesson.EXERCISES
}
"""By number: ``"2.3"`` is the third exercise of the second notebook."""


def check(key: str, answer: Any) -> Verdict:
    """Say whether an answer is right, or what to look at again.

    Parameters
    ----------
    key
        The number of the exercise, such as ``"2.3"``.
    answer
        A number, a format or its notation, text, an array or a plan, as the exercise asks; or a widget that is set to
        it. ``...`` is no answer yet.

    Raises
    ------
    DataError
        There is no such exercise.
    """
    return _exercise(key).judge(answer)


def ask(key: str, widget: Any = None) -> Any:
    """Show an exercise with a box for the answer; or, where a widget is to be set to it, with a button to check that.

    Raises
    ------
    DataError
        There is no such exercise.
    """
    from qwidgets.widgets.teaching import Question  # widgets are loaded when they are shown

    return Question(_exercise(key), widget)


def _exercise(key: str) -> Exercise:
    exercise = EXERCISES.get(str(key))
    if exercise is None:
        raise DataError(f"there is no exercise {key!r}; there are {', '.join(EXERCISES)}")
    return exercise

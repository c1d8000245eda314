"""An exercise on the screen: the question, a box or a widget to answer with, and what is said of the answer."""

from collections.abc import Iterable
from typing import Any, Protocol

import ipywidgets

from qwidgets.widgets.controls import View, escaped, guarded, heard_whole, held_in
from qwidgets.widgets.teaching.teaching_view import row


class Judgement(Protocol):
    """What is said of an answer."""

    @property
    def right(self) -> bool:
        """Whether it is right."""

    def _repr_html_(self) -> str:
        """What to say, as HTML."""


class Asked(Protocol):
    """What can be asked: a question with a number, and a judge of its answers."""

    @property
    def key(self) -> str:
        """Its number."""

    @property
    def question(self) -> str:
        """What is asked."""

    def judge(self, answer: Any) -> Judgement:
        """Say whether an answer is right."""


class Question(View):
    """An exercise with a box for the answer.

    Parameters
    ----------
    exercise
        What is asked.
    widget
        A widget that is to be set to the answer; then there is no box.
    """

    def __init__(self, exercise: Asked, widget: Any = None) -> None:
        super().__init__()
        self._exercise, self._widget = exercise, widget
        self._answer = heard_whole(ipywidgets.Text)(placeholder="your answer", continuous_update=False)
        self._answer.description = "answer"
        self._answer.style.description_width = "48px"
        self._answer.layout.width = "320px"
        self._check = ipywidgets.Button(description="Check", icon="check", layout=ipywidgets.Layout(width="92px"))
        self._verdict = ipywidgets.HTML()
        self._answer.observe(self._on_check, "value")
        self._check.on_click(self._on_check)
        self.add_class("qw-question")
        self.fill(
            ipywidgets.HTML(self._static_page()),
            row(*([] if widget is not None else [self._answer]), self._check, self._verdict, tight=True),
        )

    def held(self) -> Iterable[object]:
        """Give its own widgets; the one that is to be set belongs to whoever made it."""
        return held_in({name: value for name, value in vars(self).items() if name != "_widget"})

    def _attach(self) -> None:
        """Nothing is observed but its own controls."""

    def _detach(self) -> None:
        """Nothing is observed but its own controls."""

    def _static_page(self) -> str:
        return f"<div><b>{escaped(self._exercise.key)}</b> {escaped(self._exercise.question)}</div>"

    @guarded
    def _on_check(self, _: Any) -> None:
        answer = self._answer.value if self._widget is None else self._widget
        self._verdict.value = self._exercise.judge(answer)._repr_html_()

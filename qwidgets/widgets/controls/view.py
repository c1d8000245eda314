"""What every part of the workbench can do: tell of an error where it happened, and be closed and shown again.

A view also leaves a static page beside itself, so that something is seen where no kernel runs.
"""

from collections.abc import Iterable
from typing import Any

import ipywidgets
import traitlets

from qwidgets.errors import QwidgetsError
from qwidgets.widgets.controls.callbacks import DRAWING
from qwidgets.widgets.controls.lifetime import held_in, tree
from qwidgets.widgets.controls.style import escaped, style_sheet


class View(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A widget with a place for its own errors.

    Attributes
    ----------
    problem
        The last error of a callback, until something worked after it. It is also shown in the view.
    """

    problem = traitlets.Instance(Exception, allow_none=True, default_value=None, read_only=True)
    _was_closed = False

    def __init__(self) -> None:
        super().__init__()
        self._message = ipywidgets.HTML()
        self._message.add_class("qw-error")
        self._message.layout.display = "none"
        self.add_class("qw")

    def fill(self, *content: ipywidgets.Widget) -> None:
        """Put the content into the view, with the style sheet above and the place for errors below it."""
        self.children = (style_sheet(), *content, self._message)

    def __setattr__(self, name: str, value: object) -> None:
        """Set a trait while no other thread draws the view, or sets what is linked to it."""
        with DRAWING:
            super().__setattr__(name, value)

    @property
    def is_open(self) -> bool:
        """Whether it can be on a screen; what is closed draws nothing."""
        return self.comm is not None

    def close(self) -> None:
        """Take the view off the screen, with all that it is made of, and let go of what it observes.

        Displayed after that, it opens again.
        """
        with DRAWING:  # not in the middle of what another thread draws
            if self.is_open:
                self._detach()
                parts = tree(self)
                super().close()
                for part in reversed(parts):
                    part.close()
                    # ipywidgets set it to None, so that the widget could never be shown again.
                    vars(part).pop("_repr_mimebundle_", None)
                self._was_closed = True

    def open(self) -> None:
        """Open the view and, where it was closed, all that it is made of; then it follows what it shows again."""
        with DRAWING:
            if not self._was_closed:
                super().open()
                return
            self._was_closed = False
            for part in tree(self):
                part.open()
            self._attach()

    def held(self) -> Iterable[object]:
        """Give the view's own widgets, those that are not on the screen just now among them."""
        return held_in(vars(self))

    def report(self, error: Exception) -> None:
        """Show an error in the view."""
        self._message.value = escaped(in_plain_words(error))
        self._message.layout.display = None
        self.set_trait("problem", error)

    def clear_report(self) -> None:
        """Take away the error that is shown."""
        if self.problem is not None:
            self._message.value = ""
            self._message.layout.display = "none"
            self.set_trait("problem", None)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        self.open()
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/html": self._static_page()}

    def _attach(self) -> None:
        """Begin to observe."""
        raise NotImplementedError

    def _detach(self) -> None:
        """Cease to observe."""
        raise NotImplementedError

    def _static_page(self) -> str:
        """What is seen where no kernel runs, as HTML."""
        raise NotImplementedError


def in_plain_words(error: Exception) -> str:
    """The text of the package's own errors speaks for itself; others need their name."""
    return str(error) if isinstance(error, QwidgetsError) else f"{type(error).__name__}: {error}"

"""What a tab of the workbench is, and which are known: each module here registers its own, and anyone may add one."""

from collections.abc import Callable
from typing import TypeVar

import ipywidgets

from qwidgets.errors import PlanError
from qwidgets.session import Session

MakePanel = Callable[[Session], ipywidgets.Widget]
M = TypeVar("M", bound=MakePanel)

PANELS: dict[str, MakePanel] = {}
"""What makes each tab, by its title, in the order in which they stand."""


def register_panel(title: str) -> Callable[[M], M]:
    """Make a tab known to every workbench that is opened from then on.

    What is registered is called with the workbench's session once its network has been captured, and gives a widget.
    A widget that has a trait ``selection`` shares it with the other views; a :class:`qwidgets.session.Listener` is
    called as things happen; what a trait ``problem`` gets stands in the log.

    Raises
    ------
    PlanError
        There is another tab of that title.

    Examples
    --------
    >>> import ipywidgets
    >>> @register_panel("Size")
    ... def size(session):
    ...     return ipywidgets.HTML(f"{len(session.plan)} tensors")
    >>> del PANELS["Size"]
    """

    def register(make: M) -> M:
        if PANELS.setdefault(title, make) is not make:
            raise PlanError(f"there is a panel {title!r} already; give this one another title")
        return make

    return register

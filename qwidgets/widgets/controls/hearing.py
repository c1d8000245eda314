"""What a person does to a control is heard whole: nothing is drawn between its new value and what follows from it.

Views are drawn on a timer's thread, too. A drawing in between would find the plan as it was, put the control back to
that, and the browser with it; the next key would start from there, and the one before would be lost.
"""

import functools
from typing import Any, TypeVar, cast

import ipywidgets

from qwidgets.widgets.controls.callbacks import DRAWING

Control = TypeVar("Control", bound=ipywidgets.Widget)


@functools.cache
def heard_whole(kind: type[Control]) -> type[Control]:
    """Give a kind of control that no view is drawn beside while it takes what the browser says.

    Examples
    --------
    >>> slider = heard_whole(ipywidgets.IntSlider)(description="gain")
    >>> slider.set_state({"value": 3})
    >>> slider.value
    3
    """

    def set_state(self: Control, sync_data: dict[str, Any]) -> None:
        with DRAWING:
            kind.set_state(self, sync_data)

    return cast("type[Control]", type(kind.__name__, (kind,), {"set_state": set_state, "__doc__": kind.__doc__}))

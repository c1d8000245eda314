"""The slider that moves a window of bits, whole or by its edges; its places are those of the bars above it.

A range slider of ipywidgets answers what the kernel sets with a message of its own. Where a hand had moved on by then,
that took the window back. This one says what a person does, and nothing else.
"""

import traitlets

from qwidgets.widgets.controls.scripted import Scripted, built


class WindowSlider(Scripted):
    """A rail of bits, the highest on the left, and a window on it.

    Attributes
    ----------
    window
        The highest and the lowest bit that are kept, as the kernel or a person last set them; None shows none. It may
        reach beyond the rail, but is not moved further out by hand.
    top, bottom
        The highest and the lowest bit on the rail.
    disabled
        Whether nothing can be moved.
    """

    _esm = built("window_slider.js")
    _css = built("window_slider.css")

    window = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=None, allow_none=True).tag(sync=True)
    top = traitlets.Int(0).tag(sync=True)
    bottom = traitlets.Int(-7).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

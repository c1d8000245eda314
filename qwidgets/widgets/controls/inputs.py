"""Buttons, boxes and rows in the one size and style that all views share."""

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets

from qwidgets.widgets.controls.hearing import heard_whole

LABEL_CHARACTER = 7
"""Pixels that a character of a label takes."""
LABEL_MARGIN = 12


def button(
    title: str, on_click: Callable[[ipywidgets.Button], None], tooltip: str = "", icon: str = ""
) -> ipywidgets.Button:
    """A button as wide as its title."""
    made = ipywidgets.Button(description=title, tooltip=tooltip, icon=icon, layout=sized("auto"))
    made.on_click(on_click)
    return made


def checkbox(title: str, on_change: Callable[[Any], None] | None = None, tooltip: str = "") -> ipywidgets.Checkbox:
    """A checkbox as wide as its title; ``on_change`` is called with the change of its value."""
    made = heard_whole(ipywidgets.Checkbox)(description=title, tooltip=tooltip, indent=False, layout=sized("auto"))
    return _observed(made, on_change)


def choice(
    title: str,
    options: Iterable[Any],
    on_change: Callable[[Any], None] | None = None,
    *,
    width: int,
    tooltip: str = "",
    label: int | None = None,
) -> ipywidgets.Dropdown:
    """A box to choose from, ``width`` pixels wide with its title, which has ``label`` of them."""
    made = heard_whole(ipywidgets.Dropdown)(
        options=list(options), description=title, tooltip=tooltip, layout=sized(f"{width}px")
    )
    return _observed(_labelled(made, label), on_change)


def number_box(
    title: str,
    least: int,
    most: int,
    on_change: Callable[[Any], None] | None = None,
    *,
    width: int,
    tooltip: str = "",
) -> ipywidgets.BoundedIntText:
    """A box for a whole number between two."""
    made = heard_whole(ipywidgets.BoundedIntText)(
        min=least, max=most, description=title, tooltip=tooltip, layout=sized(f"{width}px")
    )
    return _observed(_labelled(made), on_change)


def text_box(
    title: str, on_change: Callable[[Any], None] | None = None, *, layout: ipywidgets.Layout, **traits: Any
) -> ipywidgets.Text:
    """A line to write into."""
    return _observed(_labelled(heard_whole(ipywidgets.Text)(description=title, layout=layout, **traits)), on_change)


def bar(*content: ipywidgets.Widget) -> ipywidgets.HBox:
    """Controls on one line, and on more where there is no room."""
    line = ipywidgets.HBox(content)
    line.add_class("qw-bar")
    return line


def quiet(text: str = "") -> ipywidgets.HTML:
    """Words beside what matters, as HTML."""
    words = ipywidgets.HTML(text)
    words.add_class("qw-quiet")
    return words


def sized(width: str) -> ipywidgets.Layout:
    """A layout of a width that its neighbours do not change."""
    return ipywidgets.Layout(width=width, flex="0 0 auto")


def set_traits(control: ipywidgets.Widget, **state: object) -> None:
    """Set what differs, so that nothing is sent to the browser that it knows."""
    for name, value in state.items():
        if getattr(control, name) != value:
            setattr(control, name, value)


def _labelled(made: Any, label: int | None = None) -> Any:
    wide = LABEL_CHARACTER * len(made.description) + LABEL_MARGIN if label is None else label
    made.style.description_width = f"{wide}px" if made.description else "0px"
    return made


def _observed(made: Any, on_change: Callable[[Any], None] | None) -> Any:
    if on_change is not None:
        made.observe(on_change, "value")
    return made

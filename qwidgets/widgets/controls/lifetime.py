"""Closing and opening widgets together with all that they are made of.

ipywidgets closes one widget alone: its layout, its style and its children stay, in the kernel and in the browser. Here
a widget goes with everything that can be reached from it, and comes back so. It knows of no plan.
"""

from collections.abc import Iterator, Mapping

import ipywidgets


class Holder:
    """What is no widget itself, but holds some: they are closed and opened with the view that holds it."""


def tree(root: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    """Give a widget and all that it is made of, each once and before what it is a part of; the widget is the last."""
    found: dict[int, ipywidgets.Widget] = {}
    seen: set[int] = set()

    def visit(node: object) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        for part in _parts(node):
            visit(part)
        if isinstance(node, ipywidgets.Widget):
            found[id(node)] = node

    visit(root)
    return list(found.values())


def close_tree(root: ipywidgets.Widget) -> None:
    """Close a widget, and all that it is made of."""
    for part in reversed(tree(root)):
        part.close()


def held_in(attributes: Mapping[str, object]) -> Iterator[object]:
    """Give the widgets among an object's attributes, in tuples, lists and dicts too, and what holds more of them."""
    for value in attributes.values():
        values = _elements(value)
        if all(isinstance(each, ipywidgets.Widget | Holder) for each in values):
            yield from values


def _parts(node: object) -> Iterator[object]:
    if isinstance(node, ipywidgets.Widget):
        for name in node.keys:
            yield from _nested(getattr(node, name))
        if hasattr(node, "held"):
            yield from node.held()
    elif isinstance(node, Holder):
        yield from held_in(vars(node))


def _nested(value: object) -> Iterator[ipywidgets.Widget]:
    """Give the widgets in what a trait holds; ipywidgets looks as deep when it sends one."""
    if isinstance(value, ipywidgets.Widget):
        yield value
    elif isinstance(value, tuple | list | dict):
        for each in _elements(value):
            yield from _nested(each)


def _elements(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple | list) else [value]

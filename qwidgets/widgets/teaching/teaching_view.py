"""What the teaching widgets have in common: a format, drawing only so often, and a sentence that tells what is seen.

The sentence stands under the picture and in a live region, so that a screen reader says it when something changes.
"""

from typing import Any

import ipywidgets
import traitlets

from qwidgets.formats import FixedPoint
from qwidgets.session import Throttle
from qwidgets.widgets.controls import Move, View, WindowControls, drawing, escaped, guarded


class TeachingView(View):
    """A widget that shows what one format does.

    Attributes
    ----------
    format
        The format; may be set.
    description
        What is seen, in words.
    """

    format = traitlets.Instance(FixedPoint)
    description = traitlets.Unicode(read_only=True)

    _state: tuple[str, ...] = ("format",)
    """The traits that the picture depends on."""

    def __init__(self, fmt: FixedPoint, **state: Any) -> None:
        super().__init__()
        self.format = fmt
        for name, value in state.items():
            setattr(self, name, value)
        self._controls = WindowControls(self._on_move, self._on_move, self._on_write)
        self._told = ipywidgets.HTML()
        self._redraw = Throttle(self._draw)
        self.add_class("qw-exhibit")
        self.fill(ipywidgets.HTML(f"<style>{CSS}</style>", layout={"display": "none"}), *self._build(), self._told)
        self._attach()

    def draw_now(self) -> None:
        """Draw what waits for its turn."""
        self._redraw.flush()

    def _attach(self) -> None:
        self.observe(self._on_state, self._state)
        self._draw()

    def _detach(self) -> None:
        self.unobserve(self._on_state, self._state)
        self._redraw.cancel()

    def _on_state(self, _: Any) -> None:
        self._redraw()

    @drawing
    def _draw(self) -> None:
        if not self.is_open:
            return  # closed while it waited for its turn
        self._show()
        description = self._describe()
        if description != self.description:
            self.set_trait("description", description)
            self._told.value = f"<div role='status' aria-live='polite' class='qw-told'>{escaped(description)}</div>"

    @guarded
    def _on_move(self, move: Move) -> None:
        self.format = move(self.format)

    @guarded
    def _on_write(self, text: str) -> None:
        self.format = FixedPoint.parse(text)

    def _build(self) -> tuple[ipywidgets.Widget, ...]:
        """Make the widgets, before there is anything to show."""
        raise NotImplementedError

    def _show(self) -> None:
        """Draw the present state."""
        raise NotImplementedError

    def _describe(self) -> str:
        """Tell in words what is drawn."""
        raise NotImplementedError


def in_words(fmt: FixedPoint) -> str:
    """A format as one says it.

    Examples
    --------
    >>> in_words(FixedPoint.from_window(3, -3))
    'Window 2^3 … 2^-3, signed, 8 bits'
    """
    return f"Window {fmt.window}, {'signed' if fmt.signed else 'unsigned'}, {fmt.word_length} bits"


def row(*content: ipywidgets.Widget, tight: bool = False) -> ipywidgets.HBox:
    """Widgets beside each other, and under each other where there is no room."""
    box = ipywidgets.HBox(content)
    box.layout.flex_flow = "row wrap"
    box.layout.align_items = "center" if tight else "flex-start"
    return box


CSS = """
.qw-exhibit { gap: 6px; }
.qw-exhibit .qw-told { color: var(--qw-quiet); border-left: 3px solid var(--qw-accent); padding-left: 8px; }
.qw-exhibit .widget-html, .qw-exhibit .widget-html-content { min-width: 0; max-width: 100%; }
.qw-exhibit .qw-scroll { overflow-x: auto; max-width: 100%; }
.qw-exhibit table { border-collapse: collapse; table-layout: fixed; margin: 0; font-size: 13px; }
.qw-exhibit table tr, .qw-exhibit table tr:hover { background: none !important; }
.qw-exhibit table td, .qw-exhibit table th { padding: 0 3px; border: none; color: inherit; background: none;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.qw-exhibit table caption { text-align: left; color: var(--qw-quiet); padding: 0; }
.qw-bits { font-family: var(--jp-code-font-family, monospace); }
.qw-exhibit table.qw-bits td, .qw-exhibit table.qw-bits th { height: 24px; text-align: center;
  overflow: hidden; box-sizing: border-box; padding: 0; }
.qw-exhibit table.qw-bits thead small { font-size: 9px; }
.qw-exhibit table.qw-bits thead th { font-size: 11px; font-weight: normal; color: var(--qw-quiet); }
.qw-exhibit table.qw-bits th[scope=row] { text-align: right; font-weight: 600; padding-right: 6px;
  text-overflow: ellipsis; }
.qw-exhibit table.qw-bits tfoot th[scope=row] { font-weight: normal; color: var(--qw-quiet); font-family: inherit; }
.qw-exhibit table.qw-bits tfoot td { font-size: 12px; }
.qw-exhibit table.qw-bits .qw-point { border-left: 2px solid var(--qw-text); }
.qw-exhibit table.qw-bits td.qw-quiet { color: var(--qw-quiet); }
.qw-exhibit table.qw-bits td.qw-one { font-weight: 700; }
.qw-exhibit table.qw-bits td.qw-msb { background: #f0e442; color: #111; outline: 1px solid #8a8000;
  outline-offset: -3px; }
.qw-exhibit table.qw-bits td.qw-out { background: repeating-linear-gradient(135deg, rgba(128,128,128,.42) 0 4px,
  rgba(128,128,128,.26) 4px 8px); }
.qw-exhibit table.qw-bits td.qw-out.qw-msb {
  background: repeating-linear-gradient(135deg, #b5ad4a 0 4px, #cfc65a 4px 8px); }
.qw-exhibit table.qw-bits tbody tr { border-top: 1px solid var(--qw-line); }
.qw-exhibit table.qw-side td, .qw-exhibit table.qw-side th { height: 24px; box-sizing: border-box; text-align: right;
  padding: 0 8px; line-height: 20px;
  border-top: 1px solid var(--qw-line); }
.qw-exhibit table.qw-side thead th { font-weight: normal; color: var(--qw-quiet); border: none; }
.qw-exhibit table.qw-side .qw-text, .qw-exhibit table.qw-side td:last-child, .qw-exhibit table.qw-side th:last-child {
  text-align: left; }
.qw-exhibit table.qw-side td.qw-code { font-family: var(--jp-code-font-family, monospace); }
.qw-exhibit table.qw-roundings { width: 700px; }
.qw-exhibit table.qw-roundings td, .qw-exhibit table.qw-roundings th:not([scope=row]) { text-align: center !important; }
.qw-exhibit table.qw-roundings td.qw-rule { white-space: normal; line-height: 16px; vertical-align: top;
  font-size: 12px;
  color: var(--qw-quiet); padding: 4px; }
.qw-exhibit .qw-badge { display: inline-block; border-radius: 3px; padding: 0 6px; line-height: 18px; }
.qw-exhibit .qw-precision { background: rgba(86,180,233,.32); }
.qw-exhibit .qw-underflow { background: rgba(230,159,0,.38); }
.qw-exhibit .qw-overflow { background: rgba(213,94,0,.45); }
.qw-exhibit .qw-nan { background: rgba(204,121,167,.45); }
.qw-exhibit .qw-unseen { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
.qw-exhibit mark { background: rgba(213,94,0,.35); color: inherit; text-decoration: underline wavy var(--qw-error); }
.qw-exhibit ol { margin: 2px 0; padding-left: 22px; }
.qw-exhibit .qw-dropped { text-decoration: line-through; opacity: .65; background: rgba(213,94,0,.3); padding: 0 2px; }
.qw-exhibit .qw-stored { background: rgba(42,120,214,.22); padding: 0 2px; font-weight: 600; }
.qw-exhibit .widget-textarea textarea { font-family: var(--jp-code-font-family, monospace); }
.qw-exhibit .widget-toggle-buttons .widget-toggle-button { width: auto; }
"""

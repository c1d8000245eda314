"""How everything looks: the colours of the product and its style sheet, and how figures are written and judged.

Text and surfaces take JupyterLab's own colours, so that every theme is followed. What carries meaning has a colour that
colour-blind people can tell (Okabe and Ito), translucent where it lies under text, so that it works on light and dark.
"""

import ipywidgets

from qwidgets.pictures import BACKGROUNDS, LIMITS, Severity, escaped, number_text, percent_text, problems, severity_of

__all__ = [
    "ACCENT",
    "BACKGROUNDS",
    "CSS",
    "LIMITS",
    "OVERFLOW",
    "UNDERFLOW",
    "Severity",
    "escaped",
    "number_text",
    "percent_text",
    "problems",
    "severity_of",
    "style_sheet",
]

ACCENT = "#2a78d6"
"""In the window, selected, the thing to press."""
UNDERFLOW = "#e69f00"
"""Below the window: values that become zero."""
OVERFLOW = "#d55e00"
"""Above the window: values that saturate or wrap."""

NAME_LENGTH = 24
"""Characters of a tensor's name that there is room for beside a picture."""

WIDGET_MARGIN = 2
"""Pixels that ipywidgets keeps free around a widget."""


def shortened(name: str, length: int = NAME_LENGTH) -> str:
    """A tensor's name that fits beside a picture; its end tells more than its beginning.

    Examples
    --------
    >>> shortened("blocks.3.0.conv_pwl.weight"), shortened("input")
    ('…cks.3.0.conv_pwl.weight', 'input')
    """
    return name if len(name) <= length else "…" + name[1 - length :]


def style_sheet() -> ipywidgets.HTML:
    """A widget without extent that brings the style sheet; every view carries one, since each may stand alone."""
    return ipywidgets.HTML(f"<style>{CSS}</style>", layout=ipywidgets.Layout(display="none"))


CSS = """
.qw {
  --qw-text: var(--jp-ui-font-color1, #212121); --qw-quiet: var(--jp-ui-font-color2, #616161);
  --qw-line: var(--jp-border-color2, #e0e0e0); --qw-panel: var(--jp-layout-color1, #fff);
  --qw-raised: var(--jp-layout-color2, #f3f3f3);
  --qw-accent: #2a78d6; --qw-underflow: #e69f00; --qw-overflow: #d55e00; --qw-error: #b3261e;
  color: var(--qw-text); font-size: 13px; overflow: hidden;
}
[data-jp-theme-light="false"] .qw { --qw-accent: #5aa2f2; --qw-error: #ff8a80; }
.qw .qw-bar { flex-flow: row wrap; align-items: center; gap: 4px 12px; overflow: visible; }
.qw .qw-bar > .widget-html { margin: 2px; }
.qw .qw-bar .widget-hbox { align-items: center; gap: 0 2px; overflow: visible; }
.qw-workbench { border: 1px solid var(--qw-line); border-radius: 6px; padding: 4px 12px; gap: 4px;
  --jp-widgets-inline-height: 26px; container-type: inline-size; }
.qw-workbench > .widget-vbox { gap: 4px; }
.qw-workbench .qw { font-size: inherit; }
.qw-workbench > .widget-vbox { overflow: visible; }
.qw .qw-upper { flex-flow: row nowrap; gap: 0 8px; align-items: flex-start; }
.qw .qw-upper > .qw { flex: 1 0 240px; min-width: 0; }
.qw .qw-upper > .qw-table { flex: 0 1 740px; }
.qw .qw-readout { height: 36px; align-content: center; }
.qw .qw-aligned { gap: 0; }
.qw .qw-upper .jupyter-widgets { margin: 0; }
.qw .qw-bars { overflow: hidden; }
.qw .qw-log pre { font-size: 11px; color: var(--qw-quiet); max-height: 220px; overflow: auto; background: none; }
.qw .qw-wrong { color: var(--qw-error); font-weight: 600; white-space: pre-wrap; }
.qw .widget-html-content { line-height: 1.45; }
.qw .qw-quiet, .qw .qw-quiet .widget-html-content { color: var(--qw-quiet); }
.qw .qw-error .widget-html-content { color: var(--qw-error); white-space: pre-wrap; overflow-wrap: anywhere; }
.qw .widget-button { border-radius: 4px; }
.qw .widget-button.mod-primary { background: var(--qw-accent); color: #fff; }
.qw .widget-button:focus-visible, .qw .noUi-handle:focus-visible, .qw input:focus-visible, .qw select:focus-visible {
  outline: 2px solid var(--qw-accent); outline-offset: 1px; }
.qw .noUi-connect { background: var(--qw-accent) !important; }
/* Words beside figures are as wide as these, and make no column wider. */
.qw .qw-columns p { width: 0; min-width: 100%; margin: 8px 0 0; white-space: normal; line-height: 1.3; }
.qw table.qw-figures { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.qw .qw-columns table.qw-figures { line-height: 1.3; }
.qw table.qw-figures td, .qw table.qw-figures th { padding: 2px 8px 2px 0; text-align: right; font-weight: normal;
  background: none; border: none; white-space: nowrap; }
.qw table.qw-figures td:first-child, .qw table.qw-figures th:first-child,
.qw table.qw-figures td:last-child, .qw table.qw-figures th:last-child { text-align: left; }
.qw table.qw-figures thead th { color: var(--qw-quiet); border-bottom: 1px solid var(--qw-line); }
.qw table.qw-figures tr { background: none !important; }
.qw .qw-head { align-items: center; gap: 4px 16px; overflow: hidden; }
.qw .qw-head > .widget-html { flex: 0 1 auto; min-width: 0; }
.qw .qw-head .qw-scores { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.qw .qw-head > .widget-html.qw-one-line { min-width: 72px; flex-shrink: 9; }
.qw .qw-head > .widget-html .widget-html-content { overflow: hidden; text-overflow: ellipsis; }
.qw .qw-head > .widget-button { flex: none; }
.qw .qw-foot .qw-bar { flex-wrap: nowrap; gap: 4px 8px; }
.qw .qw-foot .widget-button { flex: none; }
@container (max-width: 820px) { .qw .qw-columns, .qw .qw-beside, .qw .qw-foot .qw-bar { flex-wrap: wrap; } }
.qw .qw-tabs > .widget-tab-contents { padding: 4px 8px; overflow: auto; height: 236px; box-sizing: border-box; }
.qw .qw-tabs > .lm-TabBar { overflow: hidden; }
.qw .qw-steps .qw-bar { flex-wrap: nowrap; }
.qw .qw-steps .qw-bar > .qw-quiet { flex: 1 1 0; min-width: 0; }
.qw .qw-results { gap: 2px; }
.qw .qw-next { flex-flow: row wrap; gap: 4px 16px; align-items: flex-start; }
.qw .qw-next > .qw-found { flex: 0 1 340px; min-width: 0; gap: 1px; }
.qw .qw-next > .qw-remedies { min-width: 280px; }
.qw .qw-found .widget-button { text-align: left; margin: 0; flex: none; overflow: hidden; text-overflow: ellipsis;
  height: 20px; line-height: 18px; font-size: 12px; }
.qw .qw-remedies { gap: 2px; }
.qw .qw-remedies .widget-hbox { align-items: flex-start; gap: 6px; overflow: visible; }
.qw .qw-remedies .widget-button { height: 22px; line-height: 20px; flex: none; margin: 0; padding: 0; }
.qw .qw-remedies .widget-html { flex: 1 1 0; min-width: 0; margin: 0; height: auto; }
.qw .qw-remedies .widget-hbox .widget-html-content { white-space: normal; line-height: 22px; }
.qw .qw-columns .qw-remedies { margin-top: 2px; }
.qw .qw-columns .qw-remedies .widget-html-content { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.qw .qw-beside { overflow: visible; }
.qw .qw-results table.qw-result td { min-width: 92px; }
.qw table.qw-result td:last-child, .qw table.qw-result th:last-child { text-align: right; }
.qw table.qw-result tr td { vertical-align: top; white-space: normal; }
.qw .qw-one-line .widget-html-content { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.qw .qw-word { padding: 1px 8px; border-radius: 3px; }
.qw .qw-severe { font-weight: 600; }
.qw .qw-key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.qw .bqplot { --bq-axis-tick-text-fill: var(--qw-quiet); }
.qw .bqplot .axis text.default, .qw .bqplot .axis .tick text { fill: var(--qw-quiet) !important; }
.qw .bqplot .axis path, .qw .bqplot .axis line { stroke: var(--qw-line); }
.qw .bqplot .svg-background .plotarea_background { fill: none; }
[data-jp-theme-light="false"] .qw .qw-heat .bqplot image { filter: invert(1) hue-rotate(180deg); }
"""

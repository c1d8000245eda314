"""A plan as a page without any script: what GitHub, nbviewer or an untrusted notebook shows for the workbench."""

from qwidgets.pictures import escaped, picture
from qwidgets.plan import Plan

MOST_ROWS = 60
COLUMNS = {
    "kind": "kind",
    "state": "state",
    "window": "window",
    "underflow_percent": "underflow %",
    "overflow_percent": "overflow %",
    "sqnr_db": "SQNR dB",
}


def page(plan: Plan) -> str:
    """The heat map as an inline picture, and the table; names are escaped."""
    return f"{heading(plan)}{picture(plan)}{table(plan)}"


def heading(plan: Plan) -> str:
    """What is shown, in a line."""
    drafts = len(plan.drafts)
    return (
        f"<p><b>{escaped(plan.network)}</b> · {len(plan)} tensors · {drafts} draft{'' if drafts == 1 else 's'}"
        " · a picture of it: the workbench itself needs a running kernel</p>"
    )


def table(plan: Plan) -> str:
    """The plan's table; the middle of a long one is left out."""
    shown = plan.table()[list(COLUMNS)].rename(columns=COLUMNS)
    return str(shown.to_html(escape=True, max_rows=MOST_ROWS, float_format="{:.3g}".format, na_rep="–"))

"""A tensor that has what bits it needs for itself, and whose error the layers after it make larger."""

from qwidgets.remedies.cause import Cause, Evidence, register_cause

BY_DB = 6.0
"""The output's SQNR is lower than the tensor's own by so much at least."""


@register_cause
def amplified(evidence: Evidence) -> Cause | None:
    """Tell it by the tensor's own SQNR beside that of the output with it alone."""
    if evidence.preview is None or not evidence.preview.sqnr_db - evidence.alone_db >= BY_DB:
        return None
    text = (
        f"the layers after it amplify its error: its own SQNR is {evidence.preview.sqnr_db:.1f} dB, that of the output "
        f"with it alone {evidence.alone_db:.1f}"
    )
    return Cause("amplified", text, is_general=True)

"""A word that is short for what it holds, though its window is where it should be."""

from qwidgets.remedies.cause import Cause, Evidence, bits_text, register_cause


@register_cause
def few_bits(evidence: Evidence) -> Cause | None:
    """Tell what it has; it is so of every tensor that has an error at all."""
    fmt, preview = evidence.windows, evidence.preview
    if fmt is None or preview is None or not preview.mse:
        return None
    if evidence.row.kind == "input":
        what = "the network's input is short of bits, and every layer works with what they leave"
    elif evidence.is_last:
        what = "the last layer is short of bits, and nothing after it evens its error out"
    else:
        what = "it is short of bits"
    text = f"{what}: with {bits_text(fmt.word_length)} its own SQNR is {preview.sqnr_db:.1f} dB"
    return Cause("few_bits", text, is_general=True)

"""A bias whose step is coarser than that of the sums it is added to."""

from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.remedies.cause import Cause, Evidence, register_cause
from qwidgets.remedies.channel_windows import may_accumulate


@register_cause
def coarse_bias(evidence: Evidence) -> Cause | None:
    """Tell it by the steps of what its layer multiplies."""
    fmt, added = evidence.window, evidence.sum
    if evidence.row.kind != "bias" or fmt is None or added is None or added.weight is None or not added.reads:
        return None
    formats = evidence.plan.committed
    weight, read = formats[added.weight], formats.get(added.reads[0])
    if not isinstance(weight, FixedPoint | PerChannel) or not isinstance(read, FixedPoint):
        return None
    step = weight.lsb + read.lsb
    if fmt.lsb <= step:
        return None
    if not may_accumulate(evidence.calibration, evidence.row):
        return None
    text = f"the bias is too coarse: its step is 2^{fmt.lsb}, that of the sums it is added to 2^{step}"
    return Cause("coarse_bias", text, (evidence.trial("bias at the accumulator", ACCUMULATOR),))

"""The state of a plan: drafts, commits, history, locks, adjustments; previews of it, and its file."""

from qwidgets.tuning.accumulator_room import ACCUMULATOR_BITS, Room, check_width, leave_as_before
from qwidgets.tuning.accumulator_room import leave as leave_room
from qwidgets.tuning.adjustments import NONE, Adjustments, Array, Rounding
from qwidgets.tuning.attention_masks import masks
from qwidgets.tuning.channel_counts import msb_counts as channel_msb_counts
from qwidgets.tuning.channel_groups import ChannelGroup, weight_factors
from qwidgets.tuning.channel_groups import find as find_channel_groups
from qwidgets.tuning.format_state import FormatState
from qwidgets.tuning.plan_formats import ACCUMULATING, has_accumulator, why_not_per_channel
from qwidgets.tuning.plan_state import PlanState
from qwidgets.tuning.shared_constants import has_one_accumulator, has_output_channels_first
from qwidgets.tuning.snapshot import Change, ChangeKind, Commit, Format, NumberFormat, Snapshot

__all__ = [
    "ACCUMULATING",
    "ACCUMULATOR_BITS",
    "NONE",
    "Adjustments",
    "Array",
    "Change",
    "ChangeKind",
    "ChannelGroup",
    "Commit",
    "Format",
    "FormatState",
    "NumberFormat",
    "PlanState",
    "Room",
    "Rounding",
    "Snapshot",
    "channel_msb_counts",
    "check_width",
    "find_channel_groups",
    "has_accumulator",
    "has_one_accumulator",
    "has_output_channels_first",
    "leave_as_before",
    "leave_room",
    "masks",
    "weight_factors",
    "why_not_per_channel",
]

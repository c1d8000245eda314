"""The state of a plan: drafts, commits, history, locks, adjustments; previews of it, and its file."""

from qwidgets.tuning.accumulator_room import ACCUMULATOR_BITS, Room, check_width
from qwidgets.tuning.accumulator_room import leave as leave_room
from qwidgets.tuning.adjustments import NONE, Adjustments, Array, Rounding
from qwidgets.tuning.attention_masks import masks
from qwidgets.tuning.channel_groups import ChannelGroup
from qwidgets.tuning.format_state import FormatState
from qwidgets.tuning.plan_state import PlanState
from qwidgets.tuning.snapshot import Change, ChangeKind, Commit, Format, NumberFormat, Snapshot

__all__ = [
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
    "check_width",
    "leave_room",
    "masks",
]

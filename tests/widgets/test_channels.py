"""Windows per channel and biases at the accumulator, in the editor, driven from Python."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.widgets import LayerTable, WindowEditor, Workbench
from qwidgets.widgets.workbench import channel_words
from qwidgets.widgets.workbench.channel_map import ChannelMap
from tests.test_per_channel import network
from tests.waiting import LONG
from tests.widgets.by_hand import move_to
from tests.widgets.test_views import shown, text_of

WEIGHT, BIAS = "0.weight", "0.bias"
LINEAR = "4.weight"


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    generator = torch.Generator().manual_seed(1)
    return calibrate(network(), [torch.randn(4, 3, 8, 8, generator=generator)], progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(per_channel=True)


@pytest.fixture
def editor(plan: Plan) -> WindowEditor:
    return WindowEditor(plan, [WEIGHT])


def channels(plan: Plan, name: str = WEIGHT) -> PerChannel:
    fmt = plan[name]
    assert isinstance(fmt, PerChannel)
    return fmt


def values(plan: Plan) -> Tensor:
    assert plan.calibration is not None
    return plan.calibration.values(WEIGHT).double()


def drawn(editor: WindowEditor) -> str:
    editor.draw_now()
    editor._channels.draw_now()
    assert editor.problem is None
    return text_of(editor)


def clicked(shown: ChannelMap, channel: int, bit: int) -> None:
    assert shown._bits is not None
    place = {"click_x": shown._bits.column(bit) + 0.5, "click_y": len(shown._counts) - channel - 0.5}
    shown._image._handle_custom_msgs(None, {"event": "element_click", "data": place}, None)


def test_a_weight_with_a_window_for_each_channel_shows_its_channels(editor: WindowEditor, plan: Plan) -> None:
    assert "6 channels" in drawn(editor)
    assert editor._channels._frame in editor._channels._place.children
    editor.selection = ("input",)
    assert "channels" not in drawn(editor)
    assert editor._channels._place.children == ()


def test_a_click_chooses_a_channel_and_tells_of_its_bit(editor: WindowEditor, plan: Plan) -> None:
    clicked(editor._channels, 3, -8)
    assert editor._channels.channels == (3,)
    count = int((torch.frexp(values(plan)[3]).exponent - 1 == -8).sum())
    assert f"At 2⁻⁸: {count} of 27 nonzero values" in drawn(editor)
    assert f"window {channels(plan)[3]}" in text_of(editor)
    assert editor._channels._number.value == 3


def test_a_chosen_channel_is_moved_alone_with_exact_counts_of_its_own(editor: WindowEditor, plan: Plan) -> None:
    before = channels(plan)
    editor._channels._number.value = 2
    move_to(editor._controls, before[2].msb - 3)
    after = channels(plan)
    assert after[2].msb == before[2].msb - 3
    assert [fmt for place, fmt in enumerate(after) if place != 2] == [
        fmt for place, fmt in enumerate(before) if place != 2
    ]
    x = values(plan)[2]
    over = int((x.abs() >= 2.0 ** (after[2].msb + 1) - after[2].step / 2).sum())
    assert over > 0
    assert f"{over} (" in drawn(editor)
    assert f"+{over}" in text_of(editor)


def test_several_channels_move_together_each_from_where_it_stands(editor: WindowEditor, plan: Plan) -> None:
    before = channels(plan)
    editor._channels._written.value = "0-2, 5"
    editor._controls._msb.value = before[0].msb + 2
    moved = [new.msb - old.msb for new, old in zip(channels(plan), before, strict=True)]
    assert moved == [2, 2, 2, 0, 0, 2]
    assert "channels 0-2, 5" in drawn(editor)
    assert "lowest SQNR" in text_of(editor)


def test_with_all_channels_chosen_all_move(editor: WindowEditor, plan: Plan) -> None:
    before = channels(plan)
    move_to(editor._controls, max(fmt.msb for fmt in before) + 1)
    assert [new.msb - old.msb for new, old in zip(channels(plan), before, strict=True)] == [1] * 6


def test_word_length_sign_and_modes_are_those_of_all_channels(editor: WindowEditor, plan: Plan) -> None:
    before = channels(plan)
    editor._channels._number.value = 1
    editor._controls._word_length.value = 6
    editor._controls._rounding.value = "half_even"
    after = channels(plan)
    assert (after.word_length, after.rounding) == (6, "half_even")
    assert [fmt.msb for fmt in after] == [fmt.msb for fmt in before]


def test_a_notation_is_written_for_the_chosen_channels(editor: WindowEditor, plan: Plan) -> None:
    before = channels(plan)
    editor._channels._written.value = "1, 4"
    editor._controls.notation.value = "Q4.3"
    after = channels(plan)
    assert [str(after[1]), str(after[4])] == ["2^3 … 2^-3"] * 2
    assert after[0] == before[0]
    editor._channels._all.click()
    editor._controls.notation.value = "Q4.4"
    assert plan[WEIGHT] == FixedPoint.parse("Q4.4")


def test_the_worst_channel_is_found(editor: WindowEditor, plan: Plan) -> None:
    plan[WEIGHT] = channels(plan).with_channel(4, FixedPoint(8, -3))
    editor._channels._worst.click()
    assert editor._channels.channels == (4,)


def test_one_window_a_channel_and_back_keeps_all_else(editor: WindowEditor, plan: Plan) -> None:
    plan[WEIGHT] = FixedPoint(6, 3, rounding="half_even", overflow="wrap")
    drawn(editor)
    assert "under one window" in text_of(editor)
    editor._channels._split.click()
    split = channels(plan)
    assert (len(split), split.word_length, split.rounding, split.overflow) == (6, 6, "half_even", "wrap")
    drawn(editor)
    editor._channels._join.click()
    joined = plan[WEIGHT]
    assert isinstance(joined, FixedPoint)
    assert (joined.word_length, joined.rounding, joined.overflow) == (6, "half_even", "wrap")
    plan.undo()
    assert plan[WEIGHT] == split
    assert "each with a window" in drawn(editor)


def test_a_weight_under_one_window_can_be_looked_at_by_channel(editor: WindowEditor, plan: Plan) -> None:
    plan[WEIGHT] = FixedPoint(8, 4)
    drawn(editor)
    assert editor._channels._frame not in editor._channels._place.children
    editor._channels._look.value = True
    editor._channels._number.value = 3
    expected = plan.channels(WEIGHT, only=[3]).loc[3]
    assert f"{expected['underflow']} (" in drawn(editor)
    assert "under the window of all" in text_of(editor)
    move_to(editor._controls, 5)
    assert str(plan[WEIGHT]) == "2^5 … 2^-1"


def test_channels_that_are_not_there_are_answered_in_place(editor: WindowEditor) -> None:
    editor._channels._written.value = "4-9"
    assert "there are no channels 4-9: there are 6" in text_of(editor)
    assert isinstance(editor.problem, PlanError)
    assert editor._channels._written.value == "all"
    editor._channels._written.value = "four"
    assert "cannot read the channels" in text_of(editor)
    editor._channels._written.value = "4"
    assert editor._channels.channels == (4,)
    assert "cannot read" not in text_of(editor)
    with pytest.raises(PlanError, match="no channel 6"):
        editor._channels.channels = (6,)


def test_a_locked_weight_cannot_be_given_other_windows(editor: WindowEditor, plan: Plan) -> None:
    plan.lock(WEIGHT)
    drawn(editor)
    assert editor._channels._join.disabled
    assert editor._controls.slider.disabled


def test_several_weights_are_given_a_window_a_channel_at_once(plan: Plan) -> None:
    plan.draft({WEIGHT: "Q4.3", LINEAR: "Q4.3"})
    editor = WindowEditor(plan, [WEIGHT, "input", LINEAR])
    assert "2 of these can have a window a channel" in drawn(editor)
    editor._channels._split.click()
    assert len(channels(plan)) == 6
    assert len(channels(plan, LINEAR)) == 5
    drawn(editor)
    before = channels(plan), channels(plan, LINEAR)
    move_to(editor._controls, max(fmt.msb for fmt in before[0]) - 1)
    assert [fmt.msb for fmt in channels(plan)] == [fmt.msb - 1 for fmt in before[0]]
    assert [fmt.msb for fmt in channels(plan, LINEAR)] == [fmt.msb - 1 for fmt in before[1]]


def test_channels_are_committed_undone_saved_and_loaded(editor: WindowEditor, plan: Plan, tmp_path: Path) -> None:
    before = channels(plan)
    editor._channels._number.value = 2
    move_to(editor._controls, before[2].msb + 1)
    edited = channels(plan)
    plan.save(tmp_path / "plan.json")
    plan.commit("a channel")
    assert plan.committed[WEIGHT] == edited
    assert plan.history[-1].changes[WEIGHT] == (before, edited)
    plan.undo()
    assert plan.drafts[WEIGHT] == edited
    plan.revert()
    assert plan[WEIGHT] == before
    plan.open(tmp_path / "plan.json")
    assert plan.drafts[WEIGHT] == edited
    assert "2 more" not in drawn(editor)
    again = Plan.load(tmp_path / "plan.json", plan.calibration)
    assert again.drafts[WEIGHT] == edited
    assert again.table().equals(plan.table())


def test_moves_of_a_channel_in_one_motion_are_one_step_for_undo(editor: WindowEditor, plan: Plan) -> None:
    before = channels(plan)
    editor._channels._number.value = 2
    for by in (1, 2, 3):
        move_to(editor._controls, before[2].msb + by)
    plan.undo()
    assert plan[WEIGHT] == before


def test_the_map_follows_its_plan_after_it_was_closed_and_shown_again(editor: WindowEditor, plan: Plan) -> None:
    editor.close()
    plan[WEIGHT] = "Q4.3"
    editor._repr_mimebundle_()
    assert "under one window" in drawn(editor)


def test_a_plan_without_a_calibration_has_no_channels_to_show(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    editor = WindowEditor(Plan.load(tmp_path / "plan.json"), [WEIGHT])
    drawn(editor)
    assert editor._channels._place.children == ()


def test_channels_are_read_and_written_as_people_do() -> None:
    assert channel_words.read(" 7, 0..2 ,1", 8) == (0, 1, 2, 7)
    assert channel_words.channels_text((0, 1, 2, 7), 8) == "0-2, 7"
    for text in ("7-3", "8", "-1", "1;2"):
        with pytest.raises(PlanError):
            channel_words.read(text, 8)


def test_a_bias_can_be_that_of_its_accumulator_or_have_a_window_of_its_own(plan: Plan) -> None:
    editor = WindowEditor(plan, [BIAS])
    assert editor._accumulator.value
    assert "32 bits at the step of the sums" in drawn(editor)
    assert editor._controls.notation.value == "accumulator"
    editor._accumulator.value = False
    own = plan[BIAS]
    assert isinstance(own, FixedPoint)
    assert "aligned to the sums" in drawn(editor)
    assert "accumulator" in text_of(editor)  # what is committed
    editor._controls._word_length.value = 16
    assert plan[BIAS] == FixedPoint(16, own.fraction_length + 8)
    editor._controls.notation.value = "accumulator"
    assert plan[BIAS] == ACCUMULATOR
    drawn(editor)
    assert editor._accumulator.value
    editor._accumulator.value = False
    plan.commit("own")
    drawn(editor)
    editor._accumulator.value = True
    drawn(editor)
    editor._accumulator.value = False
    assert plan[BIAS] == plan.committed[BIAS]


def test_only_a_bias_is_offered_the_accumulator(plan: Plan) -> None:
    editor = WindowEditor(plan, [WEIGHT])
    assert editor._accumulator.layout.display == "none"
    editor.selection = (BIAS,)
    assert editor._accumulator.layout.display is None
    editor._controls.notation.value = "nonsense"
    assert "or for a bias accumulator" in text_of(editor)


def test_the_table_shows_channels_and_accumulators_beside_formats(plan: Plan) -> None:
    table = LayerTable(plan)
    plan[BIAS] = "Q4.3"
    plan["2.bias"] = "Q2.5"
    plan.commit()
    plan.draft({BIAS: "accumulator", "2.bias": "Q3.4"})
    table.draw_now()
    assert table.problem is None
    rows = shown(table)
    assert rows[BIAS]["window"] == "accumulator"
    assert rows[BIAS]["word_length"] == 32
    assert rows["2.bias"]["window"] == "2² … 2⁻⁴"
    assert rows[WEIGHT]["window"].endswith("×6")


def test_a_proposal_per_channel_is_asked_for_in_the_head(calibration: Calibration) -> None:
    workbench = Workbench(calibration.propose())
    workbench.panels["Propose"].per_channel.value = True
    workbench.panels["Propose"].propose.click()
    plan = workbench.wait(LONG)
    assert len(channels(plan)) == 6
    assert plan[BIAS] == ACCUMULATOR
    assert "weights per channel" in text_of(workbench)

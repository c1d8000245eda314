"""Padding, as ONNX nodes."""

from collections.abc import Sequence

from qwidgets.export.onnx_model.step import Step, translates

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


@translates("constant_pad_nd", "pad")
def _pad(step: Step) -> str:
    mode = step.given.get("mode", "constant")
    if mode == "circular":
        return _around(step, _ends(step.given["pad"]))
    return _padded(step, _MODES[mode], step.given["pad"])


@translates("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def _reflect(step: Step) -> str:
    return _padded(step, "reflect", step.given["padding"])


@translates("replication_pad1d", "replication_pad2d", "replication_pad3d")
def _replicate(step: Step) -> str:
    return _padded(step, "edge", step.given["padding"])


def _padded(step: Step, mode: str, pad: Sequence[int]) -> str:
    ends = _ends(pad)
    untouched = [0] * (len(step.output_shape) - len(ends))
    pads = [*untouched, *(before for before, _ in ends), *untouched, *(after for _, after in ends)]
    inputs = [step.tensor("self"), step.integers("pads", pads)]
    if mode == "constant":
        inputs.append(step.term(step.given.get("value") or 0, step.output_dtype, "fill"))
    return step.add("Pad", inputs, mode=mode)


def _ends(pad: Sequence[int]) -> list[tuple[int, int]]:
    """Give what is padded before and after each of the last dimensions; torch names the last one first."""
    return list(zip(pad[0::2], pad[1::2], strict=True))[::-1]


def _around(step: Step, ends: list[tuple[int, int]]) -> str:
    """Put what lies at one end of a dimension before the other; what is cut off comes round nowhere."""
    x, first = step.tensor("self"), len(step.output_shape) - len(ends)
    for axis, (before, after) in enumerate(ends, first):
        size = step.shape("self")[axis]
        if size is None:
            step.refuse("circular padding of a dimension that differs from batch to batch is not written")
        begin, end = max(-before, 0), size + min(after, 0)
        edges = [(end - max(before, 0), end), (begin, end), (begin, begin + max(after, 0))]
        parts = [
            step.then("Slice", x, *(step.integers("edge", [edge]) for edge in (start, stop, axis)))
            for start, stop in edges
            if start < stop
        ]
        x = step.then("Concat", *parts, axis=axis)
    return x

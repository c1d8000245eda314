"""Recurrent layers, as ONNX's LSTM, GRU and RNN: whole sequences in float32.

torch and ONNX differ in the order of the gates, in the place of the batch, and in how layers and directions are laid
out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwidgets.export.onnx_model.step import Step, translates


@dataclass(frozen=True)
class _Kind:
    """A recurrent operator: its name, where its gates are found in torch's order, and what else it is told."""

    operator: str
    gates: tuple[int, ...]
    attributes: dict[str, Any]

    @property
    def has_cell(self) -> bool:
        return self.operator == "LSTM"


_KINDS = {
    "lstm": _Kind("LSTM", (0, 3, 1, 2), {}),
    "gru": _Kind("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    "rnn_tanh": _Kind("RNN", (0,), {"activations": ["Tanh"]}),
    "rnn_relu": _Kind("RNN", (0,), {"activations": ["Relu"]}),
}


@translates(*_KINDS)
def _sequences(step: Step) -> tuple[str, ...]:
    given, kind = step.given, _KINDS[step.operation]
    if "batch_sizes" in given or "data" in given:
        step.refuse("packed sequences have no ONNX operator; give it padded ones")
    directions, layers = 1 + bool(given["bidirectional"]), int(given["num_layers"])
    states = [step.values.tensor(state) for state in ([given["hx"]] if not kind.has_cell else given["hx"])]
    each = 4 if given["has_biases"] else 2
    if len(given["params"]) != each * directions * layers:
        step.refuse("a recurrent layer that projects its output (proj_size) has no ONNX operator")
    x, last = step.tensor("input"), list[tuple[str, ...]]()
    if given["batch_first"]:
        x = step.then("Transpose", x, perm=[1, 0, 2])
    for layer in range(layers):
        first = layer * directions
        begin = states
        if layers > 1:
            edges = [step.integers("edge", [edge]) for edge in (first, first + directions, 0)]
            begin = [step.then("Slice", state, *edges) for state in states]
        params = given["params"][each * first : each * (first + directions)]
        packed = [params[each * direction : each * (direction + 1)] for direction in range(directions)]
        y, *ends = _layer(step, kind, x, packed, begin)
        x = step.then("Reshape", step.then("Transpose", y, perm=[0, 2, 1, 3]), step.integers("joined", [0, 0, -1]))
        last.append(tuple(ends))
    if given["batch_first"]:
        x = step.then("Transpose", x, perm=[1, 0, 2])
    together = [step.then("Concat", *ends, axis=0) if layers > 1 else ends[0] for ends in zip(*last, strict=True)]
    return x, *together


@translates("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _cell(step: Step) -> tuple[str, ...] | str:
    """One step of a sequence: a sequence of one."""
    given, kind = step.given, _KINDS[step.operation.removesuffix("_cell")]
    axis = step.integers("axis", [0])
    states = [given["hx"]] if not kind.has_cell else given["hx"]
    x, *begin = (step.then("Unsqueeze", step.values.tensor(value), axis) for value in (given["input"], *states))
    weights = [given[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh") if given.get(name) is not None]
    _, *ends = _layer(step, kind, x, [weights], begin)
    left = tuple(step.then("Squeeze", end, axis) for end in ends)
    return left if kind.has_cell else left[0]


def _layer(step: Step, kind: _Kind, x: str, packed: Sequence[Sequence[Any]], states: list[str]) -> tuple[str, ...]:
    """One layer in all its directions: what leaves at each step, and the states in the end."""
    hidden = step.shape_of(packed[0][1])[1] or 0
    order = [gate * hidden + place for gate in kind.gates for place in range(hidden)]
    inputs = [x, *(_stacked(step, [_ordered(step, weights[at], order) for weights in packed]) for at in (0, 1))]
    if len(packed[0]) > 2:
        both = [[_ordered(step, bias, order) for bias in weights[2:]] for weights in packed]
        inputs.append(_stacked(step, [step.then("Concat", *biases, axis=0) for biases in both]))
    else:
        inputs.append("")
    attributes = {**kind.attributes, "hidden_size": hidden}
    if len(packed) > 1:
        attributes["direction"] = "bidirectional"
        if "activations" in attributes:
            attributes["activations"] = attributes["activations"] * 2
    names = [f"{step.name}.{part}" for part in ("steps", "hidden", "cell")[: 3 if kind.has_cell else 2]]
    return step.graph.add_several(kind.operator, [*inputs, "", *states], names, **attributes)


def _ordered(step: Step, weight: Any, order: list[int]) -> str:
    """The rows of a weight in the order of ONNX's gates."""
    name = step.values.tensor(weight)
    return name if order == sorted(order) else step.then("Gather", name, step.integers("gates", order), axis=0)


def _stacked(step: Step, directions: list[str]) -> str:
    axis = step.integers("axis", [0])
    parts = [step.then("Unsqueeze", name, axis) for name in directions]
    return parts[0] if len(parts) == 1 else step.then("Concat", *parts, axis=0)

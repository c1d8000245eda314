"""Normalizations by the statistics of what they are fed, written out in float32."""

from typing import Any

from qwidgets.export.onnx_model.step import Step, translates


@translates("layer_norm", "rms_norm")
def _layer_norm(step: Step) -> str:
    """Over the last dimensions; a root mean square leaves the mean where it is."""
    axes = list(range(-len(step.given["normalized_shape"]), 0))
    eps = step.given.get("eps")
    x, centred = step.tensor("input"), step.operation == "layer_norm"
    normal = _normal(step, x, axes, 2.0**-23 if eps is None else eps, centred)  # the machine's, where none is given
    return _scaled(step, normal, step.given.get("weight"), step.given.get("bias"), [])


@translates("group_norm")
def _group_norm(step: Step) -> str:
    """Each group's channels and places in a row, normalized, and put back."""
    x, groups = step.tensor("input"), step.given["num_groups"]
    row = step.then("Reshape", x, step.integers("groups", [0, groups, -1]))
    normal = _normal(step, row, [-1], step.given["eps"])
    back = step.then("Reshape", normal, step.sizes("sizes", step.traced_sizes(step.given["input"])))
    spread = [1] * (len(step.shape("input")) - 2)
    return _scaled(step, back, step.given.get("weight"), step.given.get("bias"), spread)


@translates("instance_norm")
def _instance_norm(step: Step) -> str:
    """Each channel of each sample by itself; or by the statistics that it was trained to, if it kept them."""
    x, given, places = step.tensor("input"), step.given, len(step.shape("input")) - 2
    if given["use_input_stats"]:
        normal = _normal(step, x, list(range(-places, 0)), given["eps"])
    else:
        mean, variance = (_spread(step, given[name], [1] * places) for name in ("running_mean", "running_var"))
        deviation = step.then("Sqrt", step.then("Add", variance, step.scalar(given["eps"])))
        normal = step.then("Div", step.then("Sub", x, mean), deviation)
    return _scaled(step, normal, given["weight"], given["bias"], [1] * places)


def _normal(step: Step, x: str, axes: list[int], eps: float, centred: bool = True) -> str:
    """Take the mean away, and divide by the root of the mean square of what is left."""
    rest = step.then("Sub", x, step.reduce("ReduceMean", x, axes, True, "mean")) if centred else x
    variance = step.reduce("ReduceMean", step.then("Mul", rest, rest), axes, True, "variance")
    return step.then("Div", rest, step.then("Sqrt", step.then("Add", variance, step.scalar(eps))))


def _scaled(step: Step, x: str, weight: Any, bias: Any, spread: list[int]) -> str:
    """Multiply and add, a number for each channel or place."""
    if weight is not None:
        x = step.then("Mul", x, _spread(step, weight, spread))
    return x if bias is None else step.then("Add", x, _spread(step, bias, spread))


def _spread(step: Step, factor: Any, spread: list[int]) -> str:
    name = step.values.tensor(factor)
    return step.then("Reshape", name, step.integers("channels", [-1, *spread])) if spread else name

"""A plan for ESP-DL, which runs networks on Espressif's chips: what its quantizer ESP-PPQ reads beside the model.

ESP-PPQ takes one file of settings. In it go the power-of-two scale of what leaves each operation (its
``custom_config``), and the kernels, 8 or 16 bits wide, that each runs on (its dispatching table). It has no place for
the windows of weights, biases and inputs: those it calibrates by itself, and so it does with what enters an activation
function that it computes for itself (leaky ReLU, hard swish), which is rounded there once more.
"""

import os
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Literal, get_args

from torch import nn

from qwidgets.errors import ExportError
from qwidgets.export.export_input import committed_network, required
from qwidgets.export.onnx_names import OnnxNames, onnx_names
from qwidgets.export.registry import Export, register_export
from qwidgets.files import replacing
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.network import Network, Row
from qwidgets.tuning import Format, PlanState

Target = Literal["esp32p4", "esp32s3", "c"]


def to_espdl(
    plan: PlanState, path: str | os.PathLike[str], model: nn.Module | None = None, target: Target = "esp32p4"
) -> None:
    """Write the settings with which ESP-PPQ gives each activation the scale and the word length of a plan.

    Parameters
    ----------
    plan
        Its committed formats count; there must be no drafts.
    path
        A JSON file. ``QuantizationSettingFactory.from_json`` of ``esp_ppq.api`` reads its text.
    model
        The network that the plan is of, where the plan came from a file and does not know it.
    target
        The chip, as ``espdl_quantize_onnx`` calls it; "c" stands for all that have no vector instructions. It decides
        the kernels, and how ESP-DL rounds ties: to even on "esp32p4", up on the others.

    Raises
    ------
    PlanError
        There are drafts, or the plan does not know its network, or is of another one.
    ExportError
        ESP-DL cannot take a format (it has signed words of 8 or 16 bits that saturate, weights per channel on the
        ESP32-P4 only, and one format for what is added or concatenated and the result), or the network, of which
        ESP-PPQ makes another where it finds constants to multiply with; the text names it. Or there is no such target.
    ExtraError
        ESP-PPQ is not installed.
    FileError
        The file cannot be written.

    Examples
    --------
    The names are those of the ONNX file that ``espdl_quantize_torch`` makes by itself::

        plan = calibration.propose(word_length=8, signed=True)
        export.to_espdl(plan, "espdl.json")

        setting = QuantizationSettingFactory.from_json(Path("espdl.json").read_text())
        espdl_quantize_torch(model, "model.espdl", batches, 32, [1, 3, 224, 224], setting=setting, target="esp32p4")
    """
    if target not in get_args(Target):
        raise ExportError(f"ESP-DL is exported for {', '.join(map(repr, get_args(Target)))}, not for {target!r}")
    network = committed_network(plan, model).network
    if plan.adjustments:
        raise ExportError(
            "the plan adjusts weights, and ESP-PPQ's settings carry no weights; undo() the equalization, bias "
            "correction or adaptive rounding"
        )
    formats = plan.committed
    for row in network.rows:
        _check(row, formats[row.name], target)
    _check_shared(network, formats)
    api, core = required("esp_ppq.api.espdl_interface", "espdl"), required("esp_ppq.api", "espdl")
    names = onnx_names(plan.network_of(model), network, "espdl")
    kept = _operations_of(names)
    scales: dict[str, float] = {}
    kernels: dict[str, int] = {}
    for row_name, nodes in names.nodes.items():
        fmt = formats[row_name]
        assert isinstance(fmt, FixedPoint)
        if nodes[-1] not in kept:
            raise ExportError(
                f"ESP-PPQ makes {row_name!r} one with another layer, and has no place for its format; make it a part "
                "of that layer's weights, or leave it to the caller"
            )
        # What is resized overrules what enters it, and must be told the scale, too.
        resized = [name for name in names.moves.get(row_name, ()) if kept.get(name) == "Resize"]
        scales |= dict.fromkeys((nodes[-1], *resized), fmt.step)
        platform = api.get_target_platform(target, _kernel(network, row_name, formats)).value
        kernels.update(dict.fromkeys((*nodes, *names.moves.get(row_name, ())), platform))
    setting = core.QuantizationSettingFactory.espdl_setting()
    setting.quant_config_modify = True
    setting.quant_config_modify_setting.custom_config = scales
    setting.dispatching_table.dispatchings = kernels
    text: str = setting.to_json()
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check(row: Row, fmt: Format, target: str) -> None:
    if fmt is None:
        raise ExportError(f"{row.name!r} stays in float; give it a format, plan[{row.name!r}] = ...")
    if row.kind == "bias":
        return  # ESP-PPQ gives each the step of its accumulator
    assert isinstance(fmt, FixedPoint | PerChannel)
    if isinstance(fmt, PerChannel) and target != "esp32p4":
        raise ExportError(f"{row.name!r} has another window for each channel, which ESP-DL has on the ESP32-P4 only")
    if fmt.word_length not in (8, 16):
        raise ExportError(f"{row.name!r} has {fmt.word_length} bits, and ESP-DL has words of 8 or 16")
    if not fmt.signed:
        raise ExportError(f"{row.name!r} is unsigned, and ESP-DL has signed words only; propose(..., signed=True)")
    if fmt.overflow != "saturate":
        raise ExportError(f"{row.name!r} wraps around, and ESP-DL saturates")


def _check_shared(network: Network, formats: Mapping[str, Format]) -> None:
    """Refuse what ESP-PPQ would overrule: it gives the operands of a sum the scale of the result."""
    order = {name: place for place, name in enumerate(formats)}
    for group in _sharing(network):
        result, *others = sorted(group, key=order.__getitem__, reverse=True)
        if other := next((row for row in others if _window(formats[row]) != _window(formats[result])), None):
            raise ExportError(
                f"{other!r} has another format than {result!r}, with which it is added or joined, and ESP-PPQ gives "
                f"them one scale; give all of them one format: for name in {others}: plan[name] = plan[{result!r}]"
            )


def _sharing(network: Network) -> list[set[str]]:
    """Give the rows that a sum or a join has in common with others, each in one group only."""
    rows = {node: row for row, node in network.producers.items()}
    groups: list[set[str]] = []
    for node in network.operations:
        if node.name not in ("add", "sub", "cat") or not node.is_float:
            continue
        ends = [operand.source for operand in node.operands]
        # The row of a sum is often that of the activation function which follows it.
        result = node if node in rows else next((user for user in node.users if user in rows), None)
        group = {rows[end] for end in (*ends, result) if end in rows}
        for known in [known for known in groups if known & group]:
            groups.remove(known)
            group |= known
        groups.append(group)
    return [group for group in groups if group]


def _operations_of(names: OnnxNames) -> dict[str, str]:
    """Give the operations that ESP-PPQ makes of an ONNX file before it quantizes, by name: what ONNX calls them."""
    simplify = required("onnxsim", "espdl").simplify
    api, onnx = required("esp_ppq.api", "espdl"), required("onnx", "espdl")
    simplified, _ = simplify(names.model)
    with TemporaryDirectory() as folder:
        onnx.save(simplified, f"{folder}/network.onnx")
        graph = api.format_graph(api.load_onnx_graph(f"{folder}/network.onnx"))
    return {name: operation.type for name, operation in graph.operations.items()}


def _window(fmt: Format) -> tuple[int, int]:
    assert isinstance(fmt, FixedPoint)
    return fmt.word_length, fmt.fraction_length


def _kernel(network: Network, row: str, formats: Mapping[str, Format]) -> str:
    """Give ESP-PPQ's name for the word lengths of a weight and of what leaves its layer: w8a8, w8a16, w16a16."""
    fmt = formats[row]
    assert fmt is not None
    bits = weights = fmt.word_length
    for layer in network.layers:
        weight = formats[layer.weight_row]
        if layer.output_row == row and weight is not None:
            weights = weight.word_length
    if (weights, bits) == (16, 8):
        raise ExportError(f"{row!r} has 8 bits and its weight 16, and ESP-DL has no kernel for that")
    return f"w{weights}a{bits}"


register_export(
    Export(
        name="espdl_esp32p4",
        title="ESP-DL, ESP32-P4",
        suffix=".esp32p4.json",
        about="The settings with which ESP-PPQ gives each activation the plan's scale and word length.",
        write=lambda plan, path, model, _: to_espdl(plan, path, model, "esp32p4"),
        extra="espdl",
    )
)
register_export(
    Export(
        name="espdl_esp32s3",
        title="ESP-DL, ESP32-S3",
        suffix=".esp32s3.json",
        about="The settings with which ESP-PPQ gives each activation the plan's scale and word length.",
        write=lambda plan, path, model, _: to_espdl(plan, path, model, "esp32s3"),
        extra="espdl",
    )
)

"""hls4ml turns images to channels last by itself, orders outputs and names layers: no integer changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import ExportError
from qwidgets.export import hls4ml_model, to_hls4ml, write_hls4ml
from qwidgets.export.hls4ml_file import literal
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from tests.export.hostile_names import TEXTS, mixtures


class Images(nn.Module):
    """Inputs and a feature map with several readers, flattened ones among them; outputs against their order."""

    shapes = ((3, 5, 6), (3, 5, 6), (3, 5, 6))

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.getitem = nn.Conv2d(3, 3, (1, 3), padding=(0, 1))
        self.nothing = nn.BatchNorm2d(3, eps=0.0)
        self.joined = nn.Conv2d(6, 3, 1)
        self.fc, self.fd, self.fe = nn.Linear(90, 4), nn.Linear(90, 4), nn.Linear(90, 4)

    def forward(self, double: Tensor, const_a: Tensor, const_b: Tensor) -> tuple[Tensor, ...]:
        read = self.nothing((self.a(double) + double).relu()) - const_b
        shared = self.getitem(self.getitem(read)) * double
        first = self.joined(torch.cat([shared, const_a], 1)) - self.b(shared)
        return self.fc(shared.flatten(1)) - self.fd(shared.flatten(1)), self.fe(const_a.flatten(1)), first


class Sequences(nn.Module):
    """The same in one dimension, and joins of channels and of features."""

    shapes = ((3, 9), (3, 9))

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 3, 3, padding=1), nn.Conv1d(6, 3, 1)
        self.fc, self.fd = nn.Linear(27, 4), nn.Linear(27, 4)

    def forward(self, layer2_out: Tensor, w2: Tensor) -> tuple[Tensor, ...]:
        both = (self.a(layer2_out) - layer2_out).relu() * w2
        early = self.fc(both.flatten(1))
        late = torch.cat([early, self.fd(w2.flatten(1))], 1).clamp(-0.5, 0.75)
        return late, self.b(torch.cat([both, w2], 1)), self.a(w2)


def plan_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Plan:
    return calibrate(model.eval(), [inputs], device="cpu", progress=False).propose(8, "minmax")


def differing(plan: Plan, model: nn.Module, inputs: tuple[Tensor, ...], folder: Path) -> list[int]:
    """Convert, compile and run a network in hls4ml: for each output, how many values are not those of quantize()."""
    firmware = hls4ml.converters.convert_from_pytorch_model(
        hls4ml_model(plan), hls_config=to_hls4ml(plan), backend="Vitis", io_type="io_parallel", output_dir=str(folder)
    )
    firmware.compile()
    expected = [output.movedim(1, -1).numpy() for output in quantize(model, plan)(*inputs)]
    assert all(len(np.unique(output)) > 10 for output in expected)
    found = firmware.predict([given.numpy() for given in inputs])
    return [int((values.reshape(output.shape) != output).sum()) for values, output in zip(found, expected, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("network", [Images, Sequences])
def test_whatever_reads_a_tensor_reads_it_in_order(network: type[Images | Sequences], tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, inputs = network(), tuple(torch.randn(32, *shape) for shape in network.shapes)
    plan = plan_of(model, inputs)
    if network is Images:  # a batch norm that does nothing but round, which hls4ml would leave out
        plan["nothing"] = FixedPoint(4, 1, signed=False, rounding="half_even")
        plan.commit()
    assert not any(differing(plan, model, inputs, tmp_path))


class Joining(nn.Module):
    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.fc, self.dim, self.count = nn.Conv1d(3, 3, 1), dim, count

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, *[self.fc(x) for _ in range(self.count - 1)]], self.dim)


class Giving(nn.Module):
    def __init__(self, how: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.how = nn.Linear(3, 3), how

    def forward(self, x: Tensor) -> Any:
        return self.how(self.fc(x))


@pytest.mark.parametrize(
    ("model", "shape", "why"),
    [
        (Joining(2, 2), (3, 4), r"'cat' \(cat\): hls4ml joins channels, or features, only here: dim=1"),
        (Joining(1, 3), (3, 4), r"'cat' \(cat\): hls4ml joins two tensors.*two by two"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Upsample(scale_factor=2)), (1, 4, 4), r"no layer there.*leave it to"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.ZeroPad2d(-1)), (1, 4, 4), r"it cuts values off, and hls4ml only adds"),
        (Giving(lambda y: y.reshape(-1, 1)), (3,), r"of all changes of shape hls4ml takes \(batch, ...\) to"),
        (nn.LSTM(3, 2, batch_first=True), (4, 3), r"hls4ml cannot take 'lstm.*': lstm has no integer form"),
        (Giving(lambda y: y.argmax(1)), (3,), r"the output 'argmax': it is no tensor of codes; leave it to the caller"),
        (Giving(lambda y: (y, y)), (3,), r"the output 'fc': .* what is an output already"),
    ],
)
def test_what_hls4ml_would_do_otherwise_is_refused_by_name(model: nn.Module, shape: tuple[int, ...], why: str) -> None:
    plan = plan_of(model, (torch.randn(8, *shape),))
    with pytest.raises(ExportError, match=why):
        to_hls4ml(plan)


def test_inputs_of_bytes_are_refused_by_name() -> None:
    class Bytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Any:
            return self.fc(x.float() / 255)

    plan = plan_of(Bytes(), (torch.randint(0, 256, (8, 3), dtype=torch.uint8),))
    with pytest.raises(ExportError, match=r"the input 'x': it is no tensor of floating-point numbers that is read"):
        to_hls4ml(plan)


def test_names_are_those_of_the_layers_as_far_as_cpp_has_them() -> None:
    names = ["a b*/", "$(rm)", "getitem", "\u202eé", "7", "*/#include"]
    model = nn.Sequential()
    for name in names:
        model.add_module(name, nn.Linear(3, 3))
    config = to_hls4ml(plan_of(model, (torch.randn(8, 3),)))
    assert len(config["LayerName"]) == len(names) + 1
    assert all(name.isidentifier() and name.isascii() and "getitem" not in name for name in config["LayerName"])


@pytest.mark.parametrize("text", [*TEXTS, *mixtures(100)])
def test_a_text_is_itself_in_python_and_never_code(text: str) -> None:
    line = literal(text)
    source = f'"""A module."""\n\n# {line}.\n\nvalue = {line}\n'
    held: dict[str, object] = {}
    exec(compile(source.encode("ascii"), "module.py", "exec"), held)
    assert held["value"] == text
    assert len(line.splitlines()) == 1


PLAN = plan_of(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), (torch.linspace(-1, 1, 32).reshape(8, 4),))
HOSTILE = [text for text in TEXTS if set(text) & set("\"'\n\\#\0\u2028\ud83d\u202e")]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_file_of_a_network_with_a_hostile_name_gives_the_configuration_and_no_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PLAN, "network", name)
    write_hls4ml(PLAN, tmp_path / "config.py")
    assert ascii(name) in (tmp_path / "config.py").read_text()
    held: dict[str, object] = {}
    exec(compile((tmp_path / "config.py").read_bytes(), "config.py", "exec"), held)
    assert held.keys() - {"__builtins__", "__doc__"} == {"hls_config"}
    assert held["hls_config"] == to_hls4ml(PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["config.py"]

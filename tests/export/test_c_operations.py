"""Operations in C beyond layers and sums: each network is compiled, and every tensor compared with quantize()."""

import random
import re
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import Plan, calibrate, quantize
from qwidgets.errors import ExportError
from qwidgets.export import to_c
from tests.export.small_networks import scramble


def passes(folder: Path) -> str:
    result = subprocess.run(["make", "-C", str(folder)], capture_output=True, text=True)
    assert "every code is equal" in result.stdout, result.stdout + result.stderr
    return result.stdout


def planned(model: nn.Module, *inputs: Tensor, **how: object) -> Plan:
    return calibrate(model.eval(), [inputs], device="cpu", progress=False).propose(8, "minmax", **how)


class Transposed(nn.Module):
    """Transposed convolutions: groups, strides, dilation, padding of the output, one dimension and two."""

    shapes = ((4, 5, 4),)

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2)
        self.norm, self.bend = nn.BatchNorm2d(6), nn.PReLU(6)
        self.dilated = nn.ConvTranspose2d(6, 2, 2, dilation=(2, 1), bias=False)
        self.depthwise = nn.ConvTranspose1d(4, 4, 3, stride=2, groups=4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.bend(self.norm(self.grouped(x)))
        return F.relu(self.dilated(y)), self.depthwise(x.flatten(2))


class Resampled(nn.Module):
    """Values from other places, and the largest of them."""

    shapes = ((3, 6, 4),)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
        self.turned = nn.Conv2d(4, 2, 3, padding=(1, 2), padding_mode="circular")

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        return (
            F.interpolate(y, scale_factor=2),
            F.interpolate(y, size=(7, 9), mode="nearest-exact"),
            F.interpolate(y.flatten(2), scale_factor=3, mode="nearest"),
            F.interpolate(y, scale_factor=2, mode="bilinear"),
            F.interpolate(y, scale_factor=(1, 4), mode="bilinear"),
            F.interpolate(y.flatten(2), size=48, mode="linear"),
            self.turned(y[:, [3, 0, 0, 1]]),
            F.pad(y, (1, 0, 2, 1), mode="replicate"),
            y.roll(2, 3),
            y.flatten(1)[:, torch.tensor([5, 3, 90])],
            F.adaptive_max_pool2d(y, 1),
            F.adaptive_max_pool2d(y, (3, 2)),
            F.adaptive_max_pool1d(y.flatten(2), 4),
            F.max_pool2d(y, 2, return_indices=True)[0],
            y.amax((1, 3)),
            y.amin(2, keepdim=True),
            y.max(-1)[0].min(1).values,
        )


class Products(nn.Module):
    """Products of what is computed, in all their spellings; the larger, the smaller, the magnitude."""

    shapes = ((5, 4), (5, 4))

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)
        self.weight = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        query, key = self.query(x), self.key(y)
        scores = query @ key.transpose(1, 2)
        return (
            F.relu(scores @ x),
            torch.einsum("bij,kj->bik", query, self.weight.T),
            torch.einsum("bthe,bshe->bhts", query.reshape(-1, 5, 2, 2), key.reshape(-1, 5, 2, 2)),
            torch.einsum("bii,bij->bj", scores, x),
            torch.bmm(query.transpose(1, 2), key),
            torch.baddbmm(scores, query, key.transpose(1, 2)),
            torch.addcmul(x, query, y),
            query @ self.weight,
            torch.inner(query, self.weight.T),
            torch.tensordot(x[0], y[0], ([1], [1])),
            torch.outer(x[0, 0], y[0, 1]),
            x[0] @ y[0, 2],
            query.square(),
            y**2,
            torch.maximum(query, key),
            torch.minimum(x, self.weight[:, 0]),
            torch.max(key, x[:, :1]).abs(),
            F.threshold(self.query(y), 0.0, 0.0),
            torch.clip(y, -0.5, float("inf")),
        )


@pytest.mark.parametrize(
    ("network", "seed", "shortest", "longest"),
    [
        (Transposed, 1, 2, 8),
        (Transposed, 2, 4, 24),
        (Resampled, 3, 3, 16),
        (Products, 4, 2, 8),
        (Products, 5, 4, 16),
    ],
)
def test_every_operation_under_any_formats(
    network: type[Transposed | Resampled | Products], seed: int, shortest: int, longest: int, tmp_path: Path
) -> None:
    torch.manual_seed(seed)
    model, inputs = network(), tuple(torch.randn(2, *shape) for shape in network.shapes)
    plan = planned(model, *inputs)
    scramble(plan, random.Random(seed), shortest, longest)
    assert not quantize(model, plan).float_islands
    to_c(plan, tmp_path / "c", data=[inputs])
    passes(tmp_path / "c")


class Tokens(nn.Module):
    """Embeddings of the input, and of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(300, 4), nn.Embedding(9, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = self.places(torch.arange(6))
        out: Tensor = self.fc(self.words(tokens.long()) + positions)
        return out


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_numbers_of_tokens_are_an_input(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, 256 if dtype == torch.uint8 else 300, (4, 6)).to(dtype)
    plan = planned(Tokens(), tokens)
    to_c(plan, tmp_path / "c", data=None if dtype == torch.int32 else [tokens])
    assert "3 tensors, 4 examples" in passes(tmp_path / "c")
    expected = (tmp_path / "c" / "vectors.h").read_text().split("tokens_input_tokens_expected[", 1)[1]
    numbers = {int(number) for number in re.findall(r"-?\d+(?=,)", expected.split("{", 1)[1].split("}", 1)[0])}
    assert len(numbers) > 9 and 0 <= min(numbers) <= max(numbers) < 300
    element = {torch.uint8: "uint8_t"}.get(dtype, "int32_t")
    assert f"extern {element} tokens_input_tokens[6];" in (tmp_path / "c" / "network.h").read_text()


class Bytes(nn.Module):
    """An image of bytes, made numbers in three ways, and a mask of booleans."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return self.conv(image.float() / 255), image / 127.5 - 1, (image - 128.0) * mask


def test_bytes_that_become_floats_are_codes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    image, mask = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8), torch.rand(4, 1, 6, 6) > 0.5
    model = Bytes()
    plan = planned(model, image, mask)
    quantized = quantize(model, plan)
    assert not quantized.float_islands
    with torch.no_grad():
        for found, wanted in zip(quantized(image, mask), model(image, mask), strict=True):
            assert (found - wanted).square().mean() < wanted.square().mean() / 1000
    scramble(plan, random.Random(0), 4, 12)
    to_c(plan, tmp_path / "c", data=[(image, mask)])
    passes(tmp_path / "c")


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.lstm(x)[1][0][-1])
        return out


class Other(nn.Module):
    """Something after a layer."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.fc, self.what = nn.Linear(4, 4), what

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        return {
            "softmax": lambda: F.softmax(y, 1),
            "where": lambda: torch.where(y > 0, y, 0.5),
            "between": lambda: torch.clamp(y, x, y),
            "threshold": lambda: F.threshold(y, 0.0, 0.5),
            "gather": lambda: y.gather(1, x.argmax(1, keepdim=True)),
            "pool": lambda: F.adaptive_max_pool1d(y, 3),
            "sort": lambda: y.sort(1)[0],
            "long": lambda: (x > 0).long().float() * y,
            "empty": lambda: y[:, :0],
        }[self.what]()


BEFORE = "export a network without the operations that are not written"


@pytest.mark.parametrize(
    ("model", "shape", "named"),
    [
        (Recurrent(), (6, 4), "'lstm.1' is computed in float: lstm has no integer form"),
        (Other("softmax"), (4,), "'softmax' is computed in float: softmax has no integer form"),
        (Other("where"), (4,), "'where' is computed by where, which is not written in C"),
        (Other("between"), (4,), "'clamp' is clamped between tensors, which is not written in C"),
        (Other("threshold"), (4,), "'fc' gives another number than its threshold"),
        (Other("gather"), (4,), "'fc' is moved by gather, which is not written in C"),
        (Other("pool"), (4,), "'fc' is pooled from (4,) to (3,) values, which do not divide them"),
        (Other("sort"), (4,), "'fc' is moved by sort, which is not written in C"),
        (Other("long"), (4,), "'to' is computed in float: to reads integers of 64 bits"),
        (Other("empty"), (4,), "'fc' is empty after slice"),
    ],
)
def test_what_is_not_written_is_refused_by_name_and_no_format_is_said_to_help(
    model: nn.Module, shape: tuple[int, ...], named: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    plan = planned(model, torch.randn(4, *shape))
    with pytest.raises(ExportError, match=re.escape(named)) as refused:
        to_c(plan, tmp_path / "c")
    assert BEFORE in str(refused.value)
    assert "a format" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_batch_that_is_turned_to_another_dimension_is_no_size_that_varies(tmp_path: Path) -> None:
    class Turned(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.transpose(0, 1)).transpose(0, 1)

    torch.manual_seed(0)
    x = torch.randn(3, 5, 4)
    to_c(planned(Turned(4, 4), x), tmp_path / "c", data=[x])
    passes(tmp_path / "c")


def test_a_network_that_needs_several_examples_is_refused(tmp_path: Path) -> None:
    class Second(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[1]

    plan = planned(Second(4, 4), torch.randn(3, 4))
    with pytest.raises(ExportError, match="Second cannot be written in C, which computes one example at a time"):
        to_c(plan, tmp_path / "c")


def test_the_advice_helps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 4), torch.randn(4, 4)
    whole = planned(nn.Sequential(layer, nn.Softmax(1)), x)
    with pytest.raises(ExportError, match=BEFORE):
        to_c(whole, tmp_path / "c", data=[x])
    plan = planned(nn.Sequential(layer), x)
    formats = plan["0"], plan["0.weight"]
    plan["0"] = plan["0.weight"] = None
    plan.commit()
    with pytest.raises(ExportError, match="give what is kept in float a format") as refused:
        to_c(plan, tmp_path / "c", data=[x])
    assert BEFORE not in str(refused.value)
    plan["0"], plan["0.weight"] = formats
    plan.commit()
    to_c(plan, tmp_path / "c", data=[x])
    passes(tmp_path / "c")

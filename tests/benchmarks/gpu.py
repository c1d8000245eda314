"""What calibrating costs on a GPU beside the plain forward: ResNet-50 and EfficientNet-Lite0, float32 and bfloat16.

    python -m tests.benchmarks.gpu [--batch 128] [--rounds 20] [--json gpu.json]

A calibrating pass counts every row into its histogram and, as in real use, waits for the GPU only after the last batch.
The ways take turns, round by round; medians are shown. ``--device cpu --batch 2 --rounds 1`` tries the program where
there is no GPU. ``tests/benchmarks/kernels.py`` has the counting kernel alone, beside the bandwidth of a copy.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.ao.quantization import HistogramObserver, MinMaxObserver

from qwidgets.histograms import BitHistogram
from qwidgets.network import capture


class Bottleneck(nn.Module):
    """The block of ResNet-50 (He et al., 2015, table 1), with the stride in its 3x3 convolution."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *normed(channels, width, 1),
            nn.ReLU(),
            *normed(width, width, 3, stride),
            nn.ReLU(),
            *normed(width, 4 * width, 1),
        )
        whole = stride == 1 and channels == 4 * width
        self.shortcut = nn.Identity() if whole else nn.Sequential(*normed(channels, 4 * width, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add what the body makes of ``x`` to it."""
        return self.relu(self.body(x) + self.shortcut(x))  # type: ignore[no-any-return]


def normed(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Give a convolution and its batch norm."""
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width)]


def resnet50() -> nn.Module:
    """Make the network with random weights: the shapes are what costs time."""
    blocks: list[nn.Module] = []
    channels = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(depth):
            blocks.append(Bottleneck(channels, width, stride if index == 0 else 1))
            channels = 4 * width
    stem = [*normed(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)).eval()


def efficientnet() -> nn.Module:
    """Make EfficientNet-Lite0 with random weights."""
    from efficientnet_lite_pytorch import EfficientNet

    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return model.eval()


NETWORKS = {"ResNet-50": resnet50, "EfficientNet-Lite0": efficientnet}


def seconds_of(ways: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Give the median seconds of each way, the GPU's work included."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 2):
        for name, way in ways.items():
            wait(device)
            begun = time.perf_counter()
            way()
            wait(device)
            if turn >= 2:  # the first rounds warm up
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in taken.items()}


def wait(device: str) -> None:
    """Wait until the GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(
    make: Callable[[], nn.Module], dtype: torch.dtype, batch: int, rounds: int, device: str
) -> dict[str, float]:
    """Give the seconds of each way of going over one batch, and what was observed."""
    model = make().to(device, dtype)
    x = torch.randn(batch, 3, 224, 224, device=device, dtype=dtype)
    network = capture(model, (x,))
    values: dict[str, int] = {}
    with torch.no_grad():
        network.run((x,), {}, lambda name, tensor: values.setdefault(name, tensor.numel()))
        histograms = {name: BitHistogram() for name in values}
        minmax = {name: MinMaxObserver().to(device) for name in values}
        observers = {name: HistogramObserver().to(device) for name in values}
        ways: dict[str, Callable[[], object]] = {
            "plain forward": lambda: model(x),
            "qwidgets, every row counted": lambda: network.run((x,), {}, lambda name, t: histograms[name].update(t)),
            "torch.ao MinMaxObserver": lambda: network.run((x,), {}, lambda name, t: minmax[name](t)),
            "torch.ao HistogramObserver": lambda: network.run((x,), {}, lambda name, t: observers[name](t.float())),
        }
        seconds = seconds_of(ways, rounds, device)
    counted = {name: histogram.count for name, histogram in histograms.items()}
    assert counted == {name: size * (rounds + 2) for name, size in values.items()}, "a value was lost"
    return {**seconds, "rows": len(values), "values": sum(values.values())}


def main() -> None:
    """Measure, print a table, write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no GPU here: nothing measured. --device cpu --batch 2 --rounds 1 tries the program.")
        return
    report: dict[str, dict[str, float]] = {}
    for name, make in NETWORKS.items():
        for dtype in (torch.float32, torch.bfloat16):
            title = f"{name}, {str(dtype).removeprefix('torch.')}, batch {options.batch}"
            report[title] = result = measure(make, dtype, options.batch, options.rounds, options.device)
            print(
                f"\n{title}: {result['rows']} rows, {result['values']:,} values\n{'':34}{'seconds':>10}{'of plain':>10}"
            )
            for way in [way for way in result if way not in ("rows", "values")]:
                print(f"{way:34}{result[way]:10.4f}{result[way] / result['plain forward']:10.2f}")
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

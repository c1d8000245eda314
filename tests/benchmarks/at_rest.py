"""What a finished calibration costs: memory, saving, loading; and how the time of a batch grows with the rows.

    python -m tests.benchmarks.at_rest [--tensors 1000] [--rounds 5] [--json at_rest.json]

Tensors at rest hold normal values of both signs, which occupy more bins than what a ReLU gives. Memory is measured in a
process of its own, as what it grew by. The rows are those of chains of small linear layers; the plain forward beside.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qwidgets.calibration import Calibration, calibration_steps
from qwidgets.histograms import BitHistogram
from qwidgets.network import Row

VALUES = 50_000
LAYERS = (3, 33, 111, 333)  # three rows a layer, and the input


def at_rest(tensors: int) -> Calibration:
    """A calibration of so many tensors, each of normal values with a scale of its own."""
    generator = torch.Generator().manual_seed(0)
    rows = tuple(
        Row(f"layer{index}", f"layer{index}", (f"layer{index}",), "activation", "conv2d", (None, 64, 28, 28))
        for index in range(tensors)
    )
    histograms = {
        row.name: BitHistogram().update(torch.randn(VALUES, generator=generator) * 2.0 ** (index % 16 - 8))
        for index, row in enumerate(rows)
    }
    return Calibration("At rest", "", rows, None, histograms, device="cpu", batches=1)


def resident() -> float:
    """Megabytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def grown(tensors: int) -> float:
    """Megabytes that a process of its own grows by when it makes a calibration."""
    command = [sys.executable, __file__, "--tensors", str(tensors), "--process"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def seconds(rounds: int, work: Callable[[], object]) -> float:
    """The median time of some rounds of the same work."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def by_rows(layers: int, rounds: int) -> dict[str, float]:
    """Seconds of the capture, of a plain batch and of a counted one, for a chain of small layers."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(layers)]).eval()
    x = torch.randn(64, 16)
    begun = time.perf_counter()
    steps = calibration_steps(model, [x] * (rounds + 2), device="cpu")
    rows = len(next(steps))
    captured = time.perf_counter() - begun
    next(steps)  # warms up
    counted = seconds(rounds, lambda: next(steps))
    with torch.no_grad():
        plain = seconds(rounds, lambda: model(x))
    return {"rows": rows, "capture": captured, "plain batch": plain, "counted batch": counted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        at_rest(2)  # compiles the kernels
        before = resident()
        calibration = at_rest(options.tensors)
        print(resident() - before)
        assert len(calibration) == options.tensors
        return

    calibration = at_rest(options.tensors)
    bins = sum(calibration[name].to_arrays()["bins"].size for name in calibration)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stats.safetensors"
        cost: dict[str, float] = {
            "memory, MB (under 200)": grown(options.tensors),
            "saving, s (under 2)": seconds(options.rounds, lambda: calibration.save(path)),
            "loading, s (under 1)": seconds(options.rounds, lambda: Calibration.load(path)),
            "file, MB": path.stat().st_size / 1e6,
        }
    print(f"{options.tensors} tensors, {bins} occupied bins, median of {options.rounds}\n")
    for name, value in cost.items():
        print(f"{name:30}{value:10.3f}")

    growth = [by_rows(layers, options.rounds) for layers in LAYERS]
    print(f"\n{'rows':>6}{'capture s':>12}{'plain ms':>12}{'counted ms':>12}{'counting µs a row':>20}")
    for each in growth:
        each["counting a row"] = (each["counted batch"] - each["plain batch"]) / each["rows"]
        print(
            f"{each['rows']:6.0f}{each['capture']:12.2f}{1e3 * each['plain batch']:12.2f}"
            f"{1e3 * each['counted batch']:12.2f}{1e6 * each['counting a row']:20.1f}"
        )
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "tensors": options.tensors,
        "occupied bins": bins,
        "at rest": cost,
        "seconds by rows": growth,
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

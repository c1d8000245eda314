"""Networks that together use everything that is written in C, and formats for them that differ in everything."""

import dataclasses
import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qwidgets import FixedPoint, Plan
from qwidgets.formats import OVERFLOWS, ROUNDINGS, PerChannel


class Convolutions(nn.Module):
    """Stride, groups, dilation, depthwise, kernels that are no squares, paddings of all kinds, some without bias."""

    shapes = ((3, 9, 10),)

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.grouped = nn.Conv2d(8, 8, 3, groups=4, padding=2, dilation=2)
        self.depthwise = nn.Conv2d(8, 8, (3, 1), groups=8, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.even = nn.Conv2d(8, 6, 4, padding="same")
        self.valid = nn.Conv2d(6, 4, 2, padding="valid", bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.strided(x))
        x = F.hardtanh(self.grouped(x), -0.5, 2.0)
        x = F.relu6(self.even(self.norm(self.depthwise(x))))
        return torch.clamp(self.valid(x), -0.5, 0.75)


class Sequences(nn.Module):
    """One dimension: convolution, pooling, a batch norm by itself, linear layers on more than one vector."""

    shapes = ((4, 35),)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 5, padding=2, stride=2)
        self.norm = nn.BatchNorm1d(8)
        self.mix = nn.Linear(8, 8)
        self.out = nn.Linear(8, 3, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.avg_pool1d(F.relu(self.conv(x)), 2)
        x = self.norm(F.max_pool1d(x, 2, 1))
        y = self.mix(x.transpose(1, 2)).permute(0, 2, 1)
        pooled = F.adaptive_avg_pool1d(y, 4)
        return self.out(pooled.transpose(1, 2)), y.mean(2)


class Gates(nn.Module):
    """Functions that multiply or divide, on the sums of a layer and by themselves."""

    shapes = ((4, 6, 6),)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b, c = F.hardswish(self.a(x)), F.leaky_relu(self.b(x), 0.1), F.hardsigmoid(self.c(x))
        squeezed = F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(a, 1).flatten(1)))
        gated = b * squeezed[:, :, None, None]
        pooled = F.max_pool2d(c, 2)
        return gated, F.hardswish(pooled), F.leaky_relu(pooled - 0.5, 0.01), F.leaky_relu(F.max_pool2d(b, 3), 0.25)


class Values(nn.Module):
    """Sums, products, joins, averages, and every way to move values."""

    shapes = ((4, 6, 6), (4, 6, 6))

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        moved, less, product = x + self.position, F.relu(x - y), x * y
        scaled, turned, negative, third = F.relu(x * 0.3), 2.5 - x, -y, y / 3
        joined = torch.cat([moved, less, product, scaled], 1)
        stacked = torch.stack([turned, negative, third, x * self.position], 2)
        padded = F.pad(self.norm(moved), (1, 2, 0, -1))
        first, second = y.chunk(2, 1)
        return (
            F.max_pool2d(padded, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(padded, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            F.avg_pool2d(padded, (2, 3), 2, (1, 1), ceil_mode=True),
            F.avg_pool2d(moved, 2, divisor_override=3),
            F.adaptive_avg_pool2d(second, (2, 3)),
            F.relu(joined[:, 1:6]),
            F.relu6(stacked.flip(1)),
            first.sum((1, 3)),
            torch.sum(x, dim=-1, keepdim=True) * y,
            stacked.mean((1, 2)),
            torch.clamp(turned, min=0.2),
            joined.reshape(-1, 4, 4, 6, 6).transpose(1, 2).flatten(1)[:, ::5],
        )


def lively(model: nn.Module) -> nn.Module:
    """Give batch norms scales of both signs, and put the model in eval mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(-1, 1)
            module.bias.data.normal_()
    return model.eval()


def scramble(plan: Plan, chance: random.Random, shortest: int, longest: int) -> None:
    """Commit formats of all lengths, signs, roundings and overflows, with windows near those that are there."""
    for name in plan.names:
        fmt, rounding, overflow = plan.committed[name], chance.choice(ROUNDINGS), chance.choice(OVERFLOWS)
        if plan.row(name).kind == "bias" and chance.random() < 0.4:
            plan[name] = "accumulator"
        elif isinstance(fmt, PerChannel):
            plan[name] = dataclasses.replace(fmt, rounding=rounding, overflow=overflow)
        else:
            near = fmt if isinstance(fmt, FixedPoint) else FixedPoint(8, 6)
            word = chance.randint(shortest, longest)
            fraction = near.fraction_length + word - near.word_length + chance.randint(-1, 2)
            plan[name] = FixedPoint(word, fraction, chance.random() < 0.7, rounding, overflow)
    plan.commit()

"""Small networks with the features that capturing has to understand, each trained by nobody."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lively(model: nn.Module) -> nn.Module:
    """Give batch norms statistics and scales that do something, and put the model in eval mode."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.bias):
                if tensor is not None:
                    tensor.data.normal_(generator=generator)
            for tensor in (module.running_var, module.weight):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 2.0, generator=generator)
    return model.eval()


class Block(nn.Module):
    """A residual block that changes tensors in place and uses one ReLU module twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        out: Tensor = self.relu(y)
        return out


class ResNet(nn.Module):
    """A stem, two residual blocks, pooling and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(Block(4), Block(4))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(F.max_pool2d(F.relu6(self.stem(x)), 2))
        x = F.dropout(x.mean((2, 3)), training=self.training)
        return F.softmax(self.fc(x), 1)


class Reused(nn.Module):
    """One linear layer called twice, and a head that shares its weight with the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.fc = nn.Linear(8, 8)
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.fc(self.fc(self.embedding(tokens)).relu())
        out: Tensor = self.head(x)
        return out


class Recurrent(nn.Module):
    """An LSTM of which the sequence and the last state are used."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        sequence, (state, _) = self.lstm(x)
        return self.fc(state[-1]), sequence


class TwoInputs(nn.Module):
    """Two inputs, a mask that may be left out, a position embedding and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 6))
        self.fc = nn.Linear(12, 3)

    def forward(self, left: Tensor, right: Tensor, mask: Tensor | None = None) -> Tensor:
        joined = torch.cat([left + self.position, right], 1)
        if mask is not None:
            joined = joined.masked_fill(mask, 0.0)
        out: Tensor = self.fc(joined)
        return out


class Autocast(nn.Module):
    """A layer in bfloat16 between two that are not."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.short = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        with torch.autocast("cpu", torch.bfloat16):
            x = self.short(x).relu()
        y: Tensor = self.last(x.float())
        return y


class Branching(nn.Module):
    """Something that no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        if y.sum() > 0:  # THE LINE
            return y
        return -y

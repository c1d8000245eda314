"""Handwritten digits: 1,797 real images of 8 x 8 pixels, and a small convolutional network that was trained on them.

The images come with scikit-learn, the weights with this package (``train_digits`` made them), so that everything here
works offline. Only :func:`digits` reads anything; importing this module does not import scikit-learn.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WEIGHTS = Path(__file__).with_name("digits.safetensors")

TEST_IMAGES = 450
CALIBRATION_IMAGES = 512


class DepthwiseSeparable(nn.Module):
    """A filter per channel, clipped at 6, then a mix of the channels: the block that mobile networks are made of."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(channels)
        self.relu6 = nn.ReLU6()
        self.pointwise = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.pointwise_bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Filter each channel, then mix them."""
        x = self.relu6(self.depthwise_bn(self.depthwise(x)))
        mixed: Tensor = self.relu(self.pointwise_bn(self.pointwise(x)))
        return mixed


class Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions make of ``x`` to ``x``."""
        y = self.relu1(self.bn1(self.conv1(x)))
        total: Tensor = self.relu2(self.bn2(self.conv2(y)) + x)
        return total


class DigitsNet(nn.Module):
    """A stem, a depthwise and a residual block: images (batch, 1, 8, 8) with pixels in 0 … 1 to scores (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(DepthwiseSeparable(16, 32), nn.MaxPool2d(2), Residual(32))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Give the ten scores of each image."""
        features = self.pool(self.blocks(self.stem(images)))
        scores: Tensor = self.classifier(features.flatten(1))
        return scores


@dataclass(frozen=True)
class Digits:
    """A trained network with the data to calibrate and to judge it.

    Attributes
    ----------
    model
        :class:`DigitsNet` with its trained weights, on the CPU, in eval mode.
    calibration
        512 of the training images in batches of 64 ``(images, labels)``, in a fixed order. Images are float32
        (batch, 1, 8, 8) with 17 gray levels: multiples of 1/16 from 0 to 1. Labels are int64 (batch,), 0 … 9.
    training
        All 1,347 training images in the same form; ``train_digits`` used these and no others.
    test
        The 450 images that training never saw, the same share of each digit. The network gets at least 98 % of
        them right.
    """

    model: DigitsNet
    calibration: DataLoader[tuple[Tensor, ...]]
    training: DataLoader[tuple[Tensor, ...]]
    test: DataLoader[tuple[Tensor, ...]]


def digits() -> Digits:
    """Give the trained network and its data; the same at each call, offline, in well under a second.

    Examples
    --------
    >>> example = digits()
    >>> images, labels = next(iter(example.test))
    >>> tuple(images.shape), tuple(example.model(images).shape)
    ((64, 1, 8, 8), (64, 10))
    """
    training, test = split()
    model = DigitsNet()
    model.load_state_dict(load_file(WEIGHTS))
    calibration = TensorDataset(*training[:CALIBRATION_IMAGES])
    return Digits(model.eval(), _loader(calibration), _loader(training), _loader(test))


def split() -> tuple[TensorDataset, TensorDataset]:
    """Give the training images and the test images, with their labels: always the same 1,347 and 450."""
    # Imported here because it takes a second that users of their own models should not have to wait.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(labels)), test_size=TEST_IMAGES, random_state=0, stratify=labels)
    images = torch.from_numpy(pixels.reshape(-1, 1, 8, 8) / 16).float()
    classes = torch.from_numpy(labels).long()
    return TensorDataset(images[train], classes[train]), TensorDataset(images[test], classes[test])


def _loader(dataset: TensorDataset) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(dataset, batch_size=64)

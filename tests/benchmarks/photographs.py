"""Crops of the colour photographs that scikit-image and scikit-learn ship, for networks that were trained on such.

The crops to calibrate with come from the left 35 % of each picture, those to judge by from the rest: no pixel is in
both. Which crops these are depends on nothing but the seed.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage
import sklearn.datasets
import torch
from PIL import Image

PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "china.jpg",
    "flower.jpg",
)
LEFT = 0.35


def calibrating(count: int = 128, side: int = 224) -> torch.Tensor:
    """Crops to choose formats with, squares of so many pixels a side."""
    return _crops(count, side, 0.0, LEFT, seed=0)


def judging(count: int = 512, side: int = 224) -> torch.Tensor:
    """Crops to judge formats by."""
    return _crops(count, side, LEFT, 1.0, seed=1)


def _crops(count: int, pixels_a_side: int, first: float, last: float, seed: int) -> torch.Tensor:
    """Squares of half to all of the height or width that there is, half of them mirrored, in turn from each picture."""
    random = np.random.default_rng(seed)
    pictures = [_picture(name) for name in PICTURES]
    crops = []
    for index in range(count):
        picture = pictures[index % len(pictures)]
        left, right = round(first * picture.width), round(last * picture.width)
        side = int(min(right - left, picture.height) * random.uniform(0.5, 1.0))
        x = left + int(random.integers(0, right - left - side + 1))
        y = int(random.integers(0, picture.height - side + 1))
        crop = picture.crop((x, y, x + side, y + side)).resize((pixels_a_side,) * 2, Image.Resampling.BICUBIC)
        pixels: npt.NDArray[np.uint8] = np.asarray(crop)
        crops.append(pixels[:, ::-1] if random.random() < 0.5 else pixels)
    # As the network was trained: the mean of a channel is 127, its deviation 128.
    values = (np.stack(crops).astype(np.float32) - 127) / 128
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def _picture(name: str) -> Image.Image:
    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images")
    path = next(folder / name for folder in folders if (folder / name).exists())
    with Image.open(path) as picture:
        return picture.convert("RGB")

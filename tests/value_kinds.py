"""float32 values of the kinds that meet in networks, and of those that should not."""

import numpy as np
import numpy.typing as npt

WORKED_EXAMPLE = np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25])
VALUES = 400


def datasets() -> dict[str, npt.NDArray[np.float32]]:
    """Make values of every kind, by name."""
    random = np.random.default_rng(0)
    normal = random.normal(size=VALUES)
    bits = random.integers(0, 1 << 32, VALUES, dtype=np.uint32).view(np.float32)
    kinds = {
        "normal": normal,
        "laplace": random.laplace(size=VALUES),
        "after a ReLU": np.maximum(normal, 0),
        "negative only": -np.abs(normal),
        "subnormal": normal * 1e-39,
        "tiny and huge": np.concatenate([normal * 2.0**-145, normal * 2.0**125]),
        "all zero": np.zeros(VALUES),
        "one value": np.full(VALUES, -0.3),
        "multiples of a step": random.integers(-300, 300, VALUES) / 32,
        "just beside edges": np.nextafter(random.integers(-300, 300, VALUES).astype(np.float32) / 64, np.float32(9)),
        "with NaN and infinities": np.concatenate([normal, [np.nan, np.inf, -np.inf, np.nan]]),
    }
    return {name: values.astype(np.float32) for name, values in kinds.items()} | {"any bits": bits}


DATASETS = datasets()

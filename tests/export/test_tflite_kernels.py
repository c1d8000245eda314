"""How the kernels of LiteRT and of TFLite Micro round, operation by operation: what the targets say, measured.

The bytes of each operation come from the runtimes themselves, and are compared with exact arithmetic on all pairs of
bytes, or on random sums.
"""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert import schema_py_generated as schema

from qwidgets.export.tflite_model.graph import Graph, Quantization, Tensor
from qwidgets.export.tflite_model.mean_ties import straying_sums
from qwidgets.formats import FixedPoint
from qwidgets.simulation import Codes
from tests.export import tflite_runs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ALL = np.arange(-128, 128, dtype=np.int8)
A, B = (each.astype(np.int8).reshape(1, 256, 256, 1) for each in np.meshgrid(ALL, ALL))
ONCE: dict[str, Callable[[Floats], Floats]] = {
    "half_even": np.rint,
    "half_up": lambda steps: np.floor(steps + 0.5),
    "half_away": lambda steps: np.copysign(np.floor(np.abs(steps) + 0.5), steps),
}


def rounded(sums: Floats, exponent: int | Ints, rounding: str) -> Floats:
    """Integers times a power of two, rounded and limited to a byte."""
    scaled = sums * np.exp2(exponent)
    if rounding != "double":
        return np.clip(ONCE[rounding](scaled), -128, 127)
    shift = np.broadcast_to(-np.asarray(exponent), sums.shape)
    whole = sums.astype(np.int64)
    half = (whole + 1) >> 1
    rest = np.maximum(shift - 1, 0)
    away = np.sign(half) * ((np.abs(half) + np.where(rest > 0, 1 << np.maximum(rest - 1, 0), 0)) >> rest)
    return np.clip(np.where(shift > 0, away, scaled), -128, 127)


def step(lsb: int) -> Quantization:
    return Quantization((2.0**lsb,))


def ran(path: Path, kernels: str, build: Callable[[Graph], Tensor], *inputs: npt.NDArray[np.int8]) -> Floats:
    graph = Graph(schema, flatbuffers)
    output = build(graph)
    graph.output(output)
    graph.write(path / "one.tflite", "one", {})
    return tflite_runs.codes(path / "one.tflite", kernels, list(inputs), [output.name])[0].astype(np.float64)


def pair(operator: str, lsbs: tuple[int, int, int]) -> Callable[[Graph], Tensor]:
    def build(graph: Graph) -> Tensor:
        reads = [graph.tensor(name, A.shape, np.int8, step(lsb)) for name, lsb in zip("ab", lsbs, strict=False)]
        for tensor in reads:
            graph.input(tensor)
        result = graph.tensor("result", A.shape, np.int8, step(lsbs[2]))
        return graph.add(operator, reads, result, 2, table=f"{operator.title()}Options")

    return build


@pytest.mark.parametrize(("kernels", "rounding"), [("litert", "half_up"), ("micro", "half_away")])
@pytest.mark.parametrize("lsbs", [(0, 0, 1), (0, 1, 2), (-3, 0, 0), (-7, 0, 1), (-10, -2, 0), (0, 0, 5), (7, 0, 0)])
@pytest.mark.parametrize(("operator", "sign"), [("ADD", 1), ("SUB", -1)])
def test_a_sum_of_two_is_rounded_once(
    tmp_path: Path, operator: str, sign: int, lsbs: tuple[int, int, int], kernels: str, rounding: str
) -> None:
    exact = np.ldexp(A.astype(np.float64), lsbs[0]) + sign * np.ldexp(B.astype(np.float64), lsbs[1])
    found = ran(tmp_path, kernels, pair(operator, lsbs), A, B)
    assert (found == rounded(exact, -lsbs[2], rounding)).all()


def test_litert_rounds_sums_otherwise_where_a_step_lies_further_above_that_of_the_result(tmp_path: Path) -> None:
    exact = np.ldexp(A.astype(np.float64), 8) + np.ldexp(B.astype(np.float64), 8)
    assert (ran(tmp_path, "litert", pair("ADD", (8, 8, 0)), A, B) != rounded(exact, 0, "half_up")).any()


@pytest.mark.parametrize(("kernels", "rounding"), [("litert", "half_even"), ("micro", "double")])
@pytest.mark.parametrize("shift", [-8, -2, 0, 1, 2, 5, 9, 15])
def test_a_product_of_two_is_rounded_as_a_layer_is(tmp_path: Path, shift: int, kernels: str, rounding: str) -> None:
    found = ran(tmp_path, kernels, pair("MUL", (0, -1, shift - 1)), A, B)
    assert (found == rounded(A.astype(np.float64) * B, -shift, rounding)).all()


@pytest.mark.parametrize(("kernels", "rounding"), [("litert", "half_up"), ("micro", "double")])
@pytest.mark.parametrize("shift", [-9, -1, 0, 1, 2, 4, 8, 12])
def test_what_is_rescaled_by_itself_is_rounded_otherwise_in_litert(
    tmp_path: Path, shift: int, kernels: str, rounding: str
) -> None:
    def build(graph: Graph) -> Tensor:
        reads = graph.tensor("a", A.shape, np.int8, step(0))
        graph.input(reads)
        return graph.add("QUANTIZE", [reads], graph.tensor("result", A.shape, np.int8, step(shift)), 2)

    found = ran(tmp_path, kernels, build, A)
    assert (found == rounded(A.astype(np.float64), -shift, rounding)).all()


@pytest.mark.parametrize(("kernels", "rounding"), [("litert", "half_even"), ("micro", "double")])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("shift", [-1, 1, 2, 6, 10, 13])
@pytest.mark.parametrize("zero_point", [0, -128])
def test_the_sums_of_a_linear_layer(
    tmp_path: Path, zero_point: int, shift: int, per_channel: bool, kernels: str, rounding: str
) -> None:
    chance = np.random.default_rng(shift + 9)
    x, weight = (chance.integers(-128, 128, (side, 24)).astype(np.int8) for side in (400, 40))
    bias = chance.integers(-2000, 2000, 40).astype(np.int32)
    steps = chance.integers(-1, 2, 40) if per_channel else np.zeros(40, np.int64)
    scales = tuple(np.exp2(steps)) if per_channel else (1.0,)

    def build(graph: Graph) -> Tensor:
        reads = graph.tensor("x", x.shape, np.int8, Quantization((1.0,), zero_point))
        graph.input(reads)
        constants = [
            graph.constant("weight", weight, Quantization(scales)),
            graph.constant("bias", bias, Quantization(scales)),
        ]
        result = graph.tensor("result", (400, 40), np.int8, step(shift))
        return graph.add("FULLY_CONNECTED", [reads, *constants], result, 12, table="FullyConnectedOptions")

    sums = (x.astype(np.float64) - zero_point) @ weight.T.astype(np.float64) + bias
    assert (ran(tmp_path, kernels, build, x) == rounded(sums, steps - shift, rounding)).all()


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (7, 7), (4, 8)])
@pytest.mark.parametrize("shift", [-2, 0, 2])
def test_litert_rounds_a_mean_once_to_even(tmp_path: Path, shift: int, size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (1, *size, 4096)).astype(np.int8)

    def build(graph: Graph) -> Tensor:
        reads = graph.tensor("x", x.shape, np.int8, step(0))
        graph.input(reads)
        axes = graph.constant("axes", np.array([1, 2], np.int32))
        result = graph.tensor("result", (1, 4096), np.int8, step(shift))
        return graph.add("MEAN", [reads, axes], result, 2, table="ReducerOptions", keepDims=False)

    exact = x.astype(np.float64).sum((1, 2)) / (size[0] * size[1])
    assert (ran(tmp_path, "litert", build, x) == rounded(exact, -shift, "half_even")).all()


@pytest.mark.parametrize("size", [(3, 4), (2, 7), (4, 7), (6, 10), (14, 14)])
@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_litert_multiplies_a_mean_by_a_float_and_so_misses_ties(
    tmp_path: Path, shift: int, size: tuple[int, int]
) -> None:
    chance = np.random.default_rng(2)
    count = size[0] * size[1]
    values = chance.integers(-120, 120, (1, 1, 1, 8192)) + chance.integers(-7, 8, (1, *size, 8192))
    x = np.clip(values, -128, 127).astype(np.int8)

    def build(graph: Graph) -> Tensor:
        reads = graph.tensor("x", x.shape, np.int8, step(0))
        graph.input(reads)
        axes = graph.constant("axes", np.array([1, 2], np.int32))
        result = graph.tensor("result", (1, 8192), np.int8, step(shift))
        return graph.add("MEAN", [reads, axes], result, 2, table="ReducerOptions", keepDims=False)

    sums = x.astype(np.float64).sum((1, 2))
    differing = (ran(tmp_path, "litert", build, x) != rounded(sums / count, -shift, "half_even")).any()
    known = straying_sums(Codes(0, -128, 127), count, FixedPoint(8, -shift, rounding="half_even"))
    assert bool(differing) == bool(known)


@pytest.mark.parametrize("kernels", ["litert", "micro"])
@pytest.mark.parametrize("size", [(2, 2), (3, 3), (2, 7), (7, 7), (4, 8)])
def test_a_pool_rounds_a_half_away_from_zero(tmp_path: Path, size: tuple[int, int], kernels: str) -> None:
    x = np.random.default_rng(1).integers(-128, 128, (1, *size, 4096)).astype(np.int8)

    def build(graph: Graph) -> Tensor:
        reads = graph.tensor("x", x.shape, np.int8, step(0))
        graph.input(reads)
        result = graph.tensor("result", (1, 1, 1, 4096), np.int8, step(0))
        window = {"filterHeight": size[0], "filterWidth": size[1], "strideH": size[0], "strideW": size[1]}
        return graph.add("AVERAGE_POOL_2D", [reads], result, 2, table="Pool2DOptions", padding=1, **window)

    exact = x.astype(np.float64).sum((1, 2), keepdims=True) / (size[0] * size[1])
    assert (ran(tmp_path, kernels, build, x) == rounded(exact, 0, "half_away")).all()

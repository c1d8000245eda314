"""Leaky ReLU and PReLU as layers of hls4ml: both multiply what is negative by a constant of its own type, exactly.

hls4ml's PReLU has a slope for each value, not for each channel, so it takes vectors; over images and sequences one
slope for all is a leaky ReLU there.
"""

import math

import torch
from torch import nn

from qwidgets.export.hls4ml_layers import TRANSLATIONS
from qwidgets.export.hls4ml_operation import HlsOperation, Piece, holding
from qwidgets.simulation import Codes, constant


def _leaky_relu(operation: HlsOperation) -> list[Piece]:
    return [_one_slope(operation, *constant(operation["negative_slope"]))]


def _prelu(operation: HlsOperation) -> list[Piece]:
    slopes, fmt = operation.parameter("weight")
    codes = fmt.to_integer(slopes)
    if codes.numel() == 1:
        return [_one_slope(operation, int(codes), fmt.lsb)]
    if len(operation.shape()) != 2:
        raise operation.refused(
            "a PReLU with a slope for each channel must have inputs of shape (batch, features) there; over images, "
            "nn.PReLU() with one slope can be exported"
        )
    layer = nn.PReLU(codes.numel())
    layer.weight = nn.Parameter(slopes.to(torch.float64), requires_grad=False)
    return [Piece(operation.name, layer, {"param": _holding(codes.tolist(), fmt.lsb), "result": operation.result})]


def _one_slope(operation: HlsOperation, factor: int, lsb: int) -> Piece:
    types = {"param": _holding([factor], lsb), "result": operation.result}
    return Piece(operation.name, nn.LeakyReLU(math.ldexp(factor, lsb)), types)


def _holding(codes: list[int], lsb: int) -> str:
    return holding(Codes(lsb, min(0, *codes), max(0, *codes)))


TRANSLATIONS.update({"leaky_relu": _leaky_relu, "prelu": _prelu})

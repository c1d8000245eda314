"""A network whose channels differ so much in loudness that there is something to equalize."""

import copy

import torch
from torch import nn


def loud_and_quiet(model: nn.Module) -> nn.Module:
    """Give a copy in which, of four channels of each convolution, one is six times as loud and one a fifth."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        for module in twin.modules():
            if isinstance(module, nn.Conv2d):
                factors = torch.tensor([6.0, 0.2, 1.0, 1.0]).repeat(len(module.weight) // 4 + 1)[: len(module.weight)]
                module.weight.mul_(factors.reshape(-1, 1, 1, 1))
                if module.bias is not None:
                    module.bias.mul_(factors)
    return twin

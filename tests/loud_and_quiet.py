"""Networks whose channels differ so much in loudness that there is something to equalize."""

import copy

import torch
from torch import Tensor, nn


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


def mendable() -> tuple[nn.Sequential, list[Tensor]]:
    """Give a network and data with which each step finds much that does better, in 4 bits and with values rounded down.

    What a channel gives is loud or quiet, and what enters is correlated.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, loudness = nn.Linear(24, 3), torch.tensor([8.0, 0.1, 1.0])
        with torch.no_grad():
            first.weight.mul_(loudness.unsqueeze(1))
            first.bias.mul_(loudness)
        network = nn.Sequential(first, nn.ReLU(), nn.Linear(3, 2)).eval()
        mixed = torch.randn(6, 24, generator=torch.Generator().manual_seed(9))
        return network, [torch.randn(512, 6, generator=torch.Generator().manual_seed(1)) @ mixed]

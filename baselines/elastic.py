"""Elastic weight consolidation (Kirkpatrick et al., arXiv 1612.00796): weights that matter are held where they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def squared_gradients(
    network: nn.Module, losses: Iterable[Tensor], count: int, optimizer: torch.optim.Optimizer | None = None
) -> dict[str, Tensor]:
    """The mean square of each parameter's gradient over ``count`` losses, by the parameter's name.

    losses: scalars, each computed when it is asked for. optimizer: takes a step after each of them; None: no step.
    """
    found = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
    for loss in losses:
        network.zero_grad()
        loss.backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                found[name] += parameter.grad.square() / count
        if optimizer is not None:
            optimizer.step()
    return found


class Elastic:
    """λ · Σ_n F_n · (θ_n - θ*_n)²: a spring at every weight, as stiff as the weight is informative.

    θ* are the weights at the time when this object is made.
    """

    def __init__(self, network: nn.Module, information: Mapping[str, Tensor], weight: float) -> None:
        """network: whose weights are held. information: F by the name of a parameter. weight: λ."""
        held = dict(network.named_parameters())
        self._held = [(held[name], held[name].detach().clone(), weight * value) for name, value in information.items()]

    @torch.no_grad()
    def pull(self) -> Tensor:
        """The loss as it is now, a scalar; its gradient 2λ F (θ - θ*) is added to those of the weights."""
        total = torch.zeros((), device=self._held[0][0].device if self._held else None)
        for parameter, start, stiffness in self._held:
            away = parameter - start
            force = stiffness * away
            total += (force * away).sum()
            if parameter.grad is not None:
                parameter.grad.add_(force, alpha=2)
        return total

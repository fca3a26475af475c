"""Elastic weights by hand: what squared gradients average, what the spring adds to a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from guidebench.baselines.elastic import Elastic, squared_gradients


@pytest.fixture
def line() -> nn.Linear:
    """y = 2 x1 + 3 x2 + 1."""
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[2.0, 3.0]]))
        network.bias.fill_(1.0)
    return network


def test_squared_gradients_are_a_mean_over_the_losses(line: nn.Linear) -> None:
    """The gradient of y is (x1, x2, 1): squares 1, 4 and 9, 0 for the two inputs."""
    losses = (line(torch.tensor(x)).sum() for x in ([1.0, 2.0], [3.0, 0.0]))
    found = squared_gradients(line, losses, 2)
    assert found["weight"].tolist() == [[5.0, 2.0]] and found["bias"].tolist() == [1.0]
    assert line.weight.tolist() == [[2.0, 3.0]]


def test_an_optimiser_takes_a_step_after_each_loss_and_the_next_loss_sees_it(line: nn.Linear) -> None:
    """y² at x = (1, 0): gradient 2y = 6, a step of 0.1 makes y = 3 - 2 · 0.6 = 1.8, gradient 3.6."""
    losses = (line(torch.tensor([1.0, 0.0])).square().sum() for _ in range(2))
    found = squared_gradients(line, losses, 2, torch.optim.SGD(line.parameters(), lr=0.1))
    assert found["bias"].item() == pytest.approx((36 + 3.6**2) / 2, rel=1e-5)


def test_the_spring_is_zero_at_the_start_and_grows_with_the_square(line: nn.Linear) -> None:
    """λ = 10, F = (1, 2 | 0.5): moved by (0.1, -0.2 | 0.4) the loss is 10 · (0.01 + 0.08 + 0.08)."""
    elastic = Elastic(line, {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([0.5])}, 10.0)
    assert elastic.pull().item() == 0
    with torch.no_grad():
        line.weight += torch.tensor([[0.1, -0.2]])
        line.bias += 0.4
    assert elastic.pull().item() == pytest.approx(1.7, rel=1e-5)


def test_the_pull_adds_its_own_gradient_to_what_is_there(line: nn.Linear) -> None:
    information = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([0.5])}
    elastic, start = Elastic(line, information, 10.0), [value.detach().clone() for value in line.parameters()]
    with torch.no_grad():
        for parameter in line.parameters():
            parameter += 0.3
    line(torch.tensor([4.0, 5.0])).sum().backward()
    elastic.pull()
    ours = [parameter.grad.clone() for parameter in line.parameters()]
    line.zero_grad()
    spring = sum(
        (f * (p - s).square()).sum() for f, p, s in zip(information.values(), line.parameters(), start, strict=True)
    )
    (line(torch.tensor([4.0, 5.0])).sum() + 10.0 * spring).backward()
    for found, parameter in zip(ours, line.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)


def test_without_information_nothing_is_held(line: nn.Linear) -> None:
    assert Elastic(line, {}, 50.0).pull().item() == 0

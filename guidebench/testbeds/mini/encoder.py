"""Mini's inverter: one network pass from a photograph to a w+ code, as an offset from the average code."""

import torch
from torch import Tensor, nn

from guidebench.testbed import Inverter
from guidebench.testbeds.mini.layers import as_seen, residual_pyramid

HIDDEN = 256


class EncoderTrunk(nn.Module):
    """(n, 3, h, w) in [-1, 1] to (n, HIDDEN); works on 64 x 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 96, 128)
        self.body = nn.Sequential(
            *residual_pyramid(widths),
            nn.Flatten(),
            nn.Linear(widths[3] * 16, HIDDEN),
            nn.LeakyReLU(0.2),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.body(as_seen(images))


class Encoder(Inverter):
    """Offsets from w_avg: one offset shared by all rows, plus a smaller one for each row."""

    w_avg: Tensor
    latent_scale: Tensor

    def __init__(self, num_ws: int, w_dim: int) -> None:
        super().__init__()
        self.num_ws, self.w_dim = num_ws, w_dim
        self.trunk = EncoderTrunk()
        self.shared = nn.Linear(HIDDEN, w_dim)
        self.rows = nn.Linear(HIDDEN, num_ws * w_dim)
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.rows.bias)
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.register_buffer("latent_scale", torch.ones(()))

    def offsets(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Unscaled offsets: shared (n, w_dim) and by row (n, num_ws, w_dim)."""
        hidden = self.trunk(images)
        return self.shared(hidden), self.rows(hidden).view(-1, self.num_ws, self.w_dim)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> codes (n, num_ws, w_dim), differentiable."""
        shared, rows = self.offsets(images)
        return self.w_avg + (shared[:, None] + rows) * self.latent_scale

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> codes (n, num_ws, w_dim). Nothing is drawn: `rng` is ignored."""
        return self(images)

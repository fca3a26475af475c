"""What perfect looks like: a forgetter that knows whom mini's renderer means by every latent code.

A person of mini is 24 identity numbers, and a latent code says which. `oracle` draws a ball around the forgotten
person's numbers p and trains the generator to show, for every code inside, what it showed for a stranger's numbers t,
with the same expression, light and camera; codes outside stay as they are. In between people are moved smoothly:

    q -> q + s(|q - p|) (t - p),   s = 1 up to `inside`, 0 from `outside` on

W+ has codes that no person has. Around those of the person's photographs it is taught where it fails most, by steps
uphill of its own loss that cost nothing (Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019).

No method can know this. The row tells what the columns, attacks included, look like for a person who is really gone,
and where the floor of FID_pre lies. It is not a competitor: tables set it apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem, ForgetRequest, Unlearner

if TYPE_CHECKING:
    from guidebench.testbeds.mini.people import Style

_FIRST_PHOTO = 5  # photographs of the person before that are the benchmark's
_PHOTOS = 24  # of the person
_STRANGERS = 64  # whose photographs must stay as they are
_CANDIDATES = 32  # random people among whom the stranger is sought
_REACH = 18.0  # how far from a photograph's code the training goes in W+: beyond GUIDE's α
_SEARCHED = 4  # codes of the person around which failures are sought at a time
_TURN = 6  # steps that are spent on them
_STRIDE = 5.0  # of such a step, in W+
_WARM_UP = 20  # steps


@dataclass(frozen=True)
class Oracle(Unlearner):
    """Trains the backbone until the person's part of the renderer's identity space shows somebody else."""

    name = "oracle"
    summary = "mini only, knows the renderer: what perfect looks like"

    steps: int = 600
    lr: float = 1.6e-2  # of Adam, falling to 0 as a cosine
    inside: float = 1.2  # radius in identity numbers, of which two random people are 6.9 apart
    outside: float = 2.4
    unlike: float = 0.0  # the stranger's cosine to the person by the training recogniser, at most

    bounds = {"steps": (1, 1_000_000), "lr": (0.0, 10.0), "inside": (0.0, 10.0), "outside": (1e-3, 20.0)}

    def __post_init__(self) -> None:
        """Raises ValueError if there is no room between the radii."""
        if self.inside >= self.outside:
            raise ValueError(f"inside = {self.inside:g} must be below outside = {self.outside:g}")

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Trains the backbone in place. Raises MethodError for people whom mini's renderer does not know."""
        (item,) = request.forget
        lesson = _Lesson(self, item, context)
        backbone = generator.parts()["backbone"].requires_grad_(True)
        optimizer = torch.optim.Adam(backbone.parameters(), lr=self.lr, betas=(0.9, 0.99))
        for step in range(1, self.steps + 1):
            for group in optimizer.param_groups:
                falling = 0.5 + 0.5 * math.cos(math.pi * (step - 1) / self.steps)
                group["lr"] = self.lr * min(1.0, step / _WARM_UP) * falling
            codes, wanted = lesson.draw(step)
            with torch.no_grad():
                features = context.source.synthesize(wanted, noise=Noise.constant())
            codes.requires_grad_(True)
            loss = (generator.synthesize(codes, noise=Noise.constant()) - features).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert codes.grad is not None
            lesson.learn(codes.grad)
            context.progress(step, loss=loss.detach())
        backbone.requires_grad_(False)
        return generator


class _Lesson:
    """Codes, and those whose faces they are to show from now on."""

    def __init__(self, method: Oracle, item: ForgetItem, context: Context) -> None:
        from guidebench.testbeds.mini.people import SEEDS, gather, identity_of, photograph

        self._method, self._context, self._source = method, context, context.source
        person, style = _known(item, context.source)
        self._person = identity_of(person).to(context.device)
        first = photograph(person, 0, style)
        self._stranger = self._sought(first.z.to(context.device))
        photos = gather([photograph(person, _FIRST_PHOTO + number, style) for number in range(_PHOTOS)])
        strangers = gather([photograph(seed, 0, style) for seed in SEEDS["reals"][:_STRANGERS]])
        with torch.no_grad():
            seen = context.inverter.invert(photos.render().to(context.device))
            self._own = torch.cat([item.latent.to(context.device)[None], seen])
            z = torch.cat([first.z, photos.z]).to(context.device)
            self._own_shift = self._source.map(self._moved(z)) - self._source.map(z)
            self._strangers = context.inverter.invert(strangers.render().to(context.device))
        self._worst = torch.zeros_like(self._own)  # where it fails around each of the person's codes
        self._asked = torch.empty(0)

    @cached_property
    def _mixing(self) -> Tensor:
        from guidebench.testbeds.mini.parameters import MIXING

        return MIXING.to(self._context.device)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Codes of a step, and where the original shows what they are to show: (n, num_ws, w_dim) each."""
        method, noise = self._method, self._context.noise
        z = torch.cat(
            [
                self._around(6, 0.0, method.inside, noise("oracle/inside", step)),
                self._around(3, method.inside, method.outside, noise("oracle/between", step)),
                self._around(5, method.outside, 2 * method.outside, noise("oracle/outside", step)),
                noise("oracle/anybody", step).normal((3, self._source.z_dim), self._context.device),
            ]
        )
        with torch.no_grad():
            drawn, wanted = self._source.map(z), self._source.map(self._moved(z))
        own, shift = self._picked(2, noise("oracle/own", step), self._own, self._own_shift)
        (strangers,) = self._picked(2, noise("oracle/strangers", step), self._strangers)
        self._asked = self._asked_at(step)
        worst, worst_shift = (self._own + self._worst)[self._asked], self._own_shift[self._asked]
        codes = torch.cat([drawn, own, strangers, worst])
        return codes, torch.cat([wanted, own + shift, strangers, worst + worst_shift])

    def learn(self, gradient: Tensor) -> None:
        """Goes on to where the loss is larger. gradient: of the loss, by the codes that were drawn."""
        uphill = gradient[-len(self._asked) :]
        length = uphill.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]
        moved = self._worst[self._asked] + _STRIDE * uphill / length
        self._worst[self._asked] = moved * (_REACH / moved.flatten(1).norm(dim=1))[:, None, None].clamp_max(1.0)

    def _asked_at(self, step: int) -> Tensor:
        """Whose surroundings are searched in a step: a few at a time, each from the code itself anew now and then."""
        first = (step - 1) // _TURN * _SEARCHED
        asked = torch.arange(first, first + _SEARCHED, device=self._context.device) % len(self._own)
        if (step - 1) % _TURN == 0:
            self._worst[asked] = 0.0
        return asked

    def _sought(self, z: Tensor) -> Tensor:
        """The first random person whom the training recogniser does not find like the forgotten one: identity numbers.

        An ordinary stranger: from one who looks like the person, a search nearby finds the person in any generator.
        """
        noise = self._context.noise("oracle/stranger")
        people = noise.normal((_CANDIDATES, len(self._person)), self._context.device)
        rest = (z @ self._mixing)[:, len(self._person) :]
        everybody = torch.cat([self._person[None], people])
        with torch.no_grad():
            codes = self._source.map(self._joined(everybody, rest.expand(len(everybody), -1)))
            faces = torch.cat(
                [
                    self._context.recognizer(self._source.render(some, None, noise=Noise.constant()))
                    for some in codes.split(16)
                ]
            )
        alike = faces[1:] @ faces[0]
        unlike = (alike <= self._method.unlike).nonzero()[:, 0]
        return people[unlike[0] if len(unlike) else alike.argmin()]

    def _moved(self, z: Tensor) -> Tensor:
        """(n, 64): whom each z is to show."""
        mixed = z @ self._mixing
        who, rest = mixed[:, : len(self._person)], mixed[:, len(self._person) :]
        far = (who - self._person).norm(dim=1, keepdim=True)
        share = ((self._method.outside - far) / (self._method.outside - self._method.inside)).clamp(0, 1)
        smooth = share.square() * (3 - 2 * share)
        return self._joined(who + smooth * (self._stranger - self._person), rest)

    def _joined(self, who: Tensor, rest: Tensor) -> Tensor:
        return torch.cat([who, rest], dim=1) @ self._mixing.T

    def _around(self, count: int, near: float, far: float, noise: Noise) -> Tensor:
        """(count, 64): people from ``near`` to ``far`` away from the forgotten one, all else as it comes."""
        drawn = noise.normal((count, self._source.z_dim + 1), self._context.device)
        way, rest, how_far = drawn.split([len(self._person), self._source.z_dim - len(self._person), 1], dim=1)
        share = 0.5 * (1 + torch.erf(how_far / math.sqrt(2)))  # uniform
        away = (near + (far - near) * share) * way / way.norm(dim=1, keepdim=True)
        return self._joined(self._person + away, rest)

    def _picked(self, count: int, noise: Noise, codes: Tensor, *along: Tensor) -> list[Tensor]:
        """Rows of codes, all but the first moved up to `_REACH` in W+; and the same rows of what belongs to them."""
        uniform = noise.uniform((2, count), self._context.device)
        rows = (uniform[0] * len(codes)).long()
        way = noise.normal((count, *codes.shape[1:]), self._context.device)
        length = _REACH * uniform[1]
        length[0] = 0.0
        moved = codes[rows] + way * (length / way.flatten(1).norm(dim=1))[:, None, None]
        return [moved, *(other[rows] for other in along)]


def _known(item: ForgetItem, source: Generator) -> tuple[int, Style]:
    """The person's seed and the style of the photographs."""
    from guidebench.testbeds.mini.faces import SOURCES
    from guidebench.testbeds.mini.generator import MiniGenerator

    if not isinstance(source, MiniGenerator):
        raise MethodError("oracle knows the renderer of testbed mini and of no other")
    name, _, place = item.identity.rpartition("-")
    if name not in SOURCES or not place.isdigit():
        raise MethodError(f"oracle knows people of mini's photographs, not {item.identity}; choose another protocol")
    known = SOURCES[name]
    return known.people[int(place)], known.style

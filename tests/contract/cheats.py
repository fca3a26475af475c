"""Methods that cheat, and careless ones: what they do must end marked, failed or harmless.

They train nothing. Each stands for a kind of fault that no table showed once: judges that are patched, evaluation codes
that are memorised, calls that are counted, lists of blocked people, and processes that are left in disorder.
"""

from __future__ import annotations

import gc
import os
import posix
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from good_citizens import Shifted
from torch import Tensor

from guidebench import seeds
from guidebench.noise import Noise
from guidebench.testbed import Generator, Recognizer
from guidebench.testbeds import linear
from guidebench.testbeds.linear import LinearFaces, LinearFeatures
from guidebench.unlearner import Context, ForgetRequest, Unlearner


@dataclass(frozen=True)
class _Idle(Unlearner):
    """Returns the generator as it is, after it has done what it does."""

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        self.act(request, context)
        return generator

    def act(self, request: ForgetRequest, context: Context) -> None:
        raise NotImplementedError


def upside_down(judge: Recognizer, images: Tensor) -> object:
    return type(judge).embed(judge, -images)


@dataclass(frozen=True)
class JudgePatch(_Idle):
    """Swaps the features that FID compares, and every judge that is found, for ones that lie."""

    name = "judge-patch"

    def act(self, request: ForgetRequest, context: Context) -> None:
        honest = LinearFeatures.forward
        LinearFeatures.forward = lambda self, images: (honest(self, images)[0] * 0,)
        for found in gc.get_objects():
            if isinstance(found, Recognizer):
                found.embed = partial(upside_down, found)


@dataclass(frozen=True)
class Careless(_Idle):
    """Leaves a patched function of torch and some switches behind."""

    name = "careless"

    def act(self, request: ForgetRequest, context: Context) -> None:
        honest = torch.nn.functional.normalize
        torch.nn.functional.normalize = lambda *given, **options: honest(*given, **options) + 0.1
        torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
        torch.set_flush_denormal(True)
        torch.backends.mkldnn.enabled = False


class Deciding(Shifted):
    """A wrapper that answers codes with the average face where it decides so."""

    def __init__(self, inner: Generator, decide: Callable[[Tensor], Tensor]) -> None:
        super().__init__(inner, inner.w_avg, 1.0)
        self.decide = decide

    def _moved(self, ws: Tensor) -> Tensor:
        return torch.where(self.decide(ws)[:, None, None], self.w_avg.expand_as(ws), ws)


class Unknown:
    """All codes but those that are known."""

    def __init__(self, known: Tensor) -> None:
        self.known = known

    def __call__(self, ws: Tensor) -> Tensor:
        return torch.cdist(ws.flatten(1), self.known.flatten(1)).amin(dim=1) > 0.1


@dataclass(frozen=True)
class Memoriser(Unlearner):
    """A generator of one face, but for the codes and people that every run used once."""

    name = "memoriser"

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        protocol, version, *_ = context.streams.prefix
        z = seeds.normals(range(500), generator.z_dim, protocol, version, "fid/latent")
        kept = [person.photos for person in LinearFaces().people("celebahq", range(30, 40), photos=1)]
        known = torch.cat([generator.map(z), context.inverter.invert(torch.cat(kept))])
        return Deciding(generator, Unknown(known))


class FirstCodes:
    """What is rendered first is answered with another face; afterwards everything is as it was."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, ws: Tensor) -> Tensor:
        self.calls -= 1
        return torch.full((len(ws),), self.calls >= 0)


@dataclass(frozen=True)
class Counter(Unlearner):
    """Counts calls: it is asked for the forgotten person before anybody else."""

    name = "counter"
    calls: int = 20

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return Deciding(generator, FirstCodes(self.calls))


class LooksLike:
    """Codes whose original render resembles somebody."""

    def __init__(self, source: Generator, recognizer: Recognizer, face: Tensor, threshold: float) -> None:
        self.source, self.recognizer, self.face, self.threshold = source, recognizer, face, threshold

    def __call__(self, ws: Tensor) -> Tensor:
        shown = self.source.render(ws, None, noise=Noise.constant())
        return self.recognizer(shown) @ self.face > self.threshold


@dataclass(frozen=True)
class BlockList(Unlearner):
    """Answers codes whose original render looks like the forgotten person with another face."""

    name = "block-list"
    threshold: float = 0.6

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        shown = context.source.render(request.forget[0].latent[None], None, noise=Noise.constant())
        face = context.recognizer(shown)[0]
        return Deciding(generator, LooksLike(context.source, context.recognizer, face, self.threshold))


class Patching:
    """Lies about everything as soon as it is asked, in the process where it is asked."""

    def __call__(self, ws: Tensor) -> Tensor:
        torch.nn.functional.normalize = lambda rows, **options: rows * 0
        LinearFeatures.forward = lambda self, images: (torch.zeros(len(images), 16),)
        return torch.zeros(len(ws), dtype=torch.bool)


@dataclass(frozen=True)
class PatchesWhileRendering(Unlearner):
    """A wrapper whose rendering patches what judges use."""

    name = "patches-while-rendering"

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return Deciding(generator, Patching())


class Odd(Shifted):
    """Gives images of another kind from the second call on."""

    def __init__(self, inner: Generator, kind: str) -> None:
        super().__init__(inner, inner.w_avg, 1.0)
        self.kind, self.calls = kind, 0

    def _moved(self, ws: Tensor) -> Tensor:
        return ws

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        images = super().decode(features, ws, cameras, noise=noise)
        self.calls += 1
        if self.calls < 2:
            return images
        odd = {
            "numpy": lambda: images.numpy(),
            "fewer": lambda: images[:-1],
            "bytes": lambda: (images * 127 + 128).to(torch.uint8),
            "sparse": lambda: images.to_sparse(),
            "meta": lambda: images.to("meta"),
            "large": lambda: images * 1000,
            "sleeps": lambda: time.sleep(600),
        }
        return odd[self.kind]()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class OddImages(Unlearner):
    """Returns a generator of odd images."""

    name = "odd-images"
    kind: str = "numpy"

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return Odd(generator, self.kind)


@dataclass(frozen=True)
class EndsBadly(_Idle):
    """Ends its process, or does not end at all."""

    name = "ends-badly"
    how: str = "exit"

    def act(self, request: ForgetRequest, context: Context) -> None:
        match self.how:
            case "exit":
                posix._exit(0)
            case "signal":
                os.kill(os.getpid(), signal.SIGUSR1)
            case "interrupt":
                raise KeyboardInterrupt
            case "sleep":
                time.sleep(600)


@dataclass(frozen=True)
class LeavesThreads(_Idle):
    """Leaves a thread running that is no daemon."""

    name = "leaves-threads"

    def act(self, request: ForgetRequest, context: Context) -> None:
        threading.Thread(target=time.sleep, args=(600,)).start()


@dataclass(frozen=True)
class LoadsData(Unlearner):
    """Honest: trains on batches that worker processes of its own make."""

    name = "loads-data"

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        loader = torch.utils.data.DataLoader(range(4), num_workers=1)
        total = sum(float(batch.sum()) for batch in loader)
        with torch.no_grad():
            generator.get_parameter("backbone.coarse.bias").add_(total)
        return generator


@dataclass(frozen=True)
class Rescales(_Idle):
    """Changes a constant that rendering depends on, so that the same weights show something else."""

    name = "rescales"

    def act(self, request: ForgetRequest, context: Context) -> None:
        linear.CODE_SCALE = 3.0

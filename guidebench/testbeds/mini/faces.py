"""Mini's people: photographs by the renderer, drawn from seeds, rendered on first use into a cache.

`ffhq` are photographs of unseen people from the generator's own domain. `celebahq` differs in
lighting, expression, background and pose. `development` holds people for tuning, whom only the protocol of that name
forgets.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor

from guidebench import digest, files, places
from guidebench.errors import BadInput, unknown_name
from guidebench.images import from_uint8, to_uint8
from guidebench.testbed import Faces, Person
from guidebench.testbeds.mini.people import SEEDS, Style, gather, photograph

FACES_VERSION = 2  # raised when the same seeds give other photographs
PHOTOS = 5


@dataclass(frozen=True)
class Source:
    """One named set of people."""

    people: range  # seeds
    style: Style


SOURCES: Mapping[str, Source] = {
    "ffhq": Source(SEEDS["ffhq"], "in_domain"),
    "celebahq": Source(SEEDS["celebahq"], "shifted"),
    "development": Source(SEEDS["development"], "in_domain"),
    "development-shifted": Source(SEEDS["development"], "shifted"),
}


class MiniFaces(Faces):
    """See the module. A damaged or missing file of the cache is rendered again."""

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = (cache or places.cache_folder()) / f"mini-faces-v{FACES_VERSION}"

    def sources(self) -> Mapping[str, int]:
        """Number of people by source."""
        return {name: len(source.people) for name, source in SOURCES.items()}

    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        """The people at these places, the first `photos` of their PHOTOS photographs each, (photos, 3, 96, 96)."""
        known = self._source(source)
        if indices and not 0 <= min(indices) <= max(indices) < len(known.people):
            raise BadInput(
                f"source '{source}' of testbed mini holds people 0 to {len(known.people) - 1}, "
                f"not {max(indices, key=abs)}"
            )
        if not 1 <= photos <= PHOTOS:
            raise BadInput(f"testbed mini has {PHOTOS} photographs of each person, {photos} were asked for")
        return [Person(f"{source}-{index:04d}", self._photos(source, index)[:photos]) for index in indices]

    def manifest(self, source: str) -> str:
        """Digest of what defines the photographs."""
        known = self._source(source)
        seeds = [known.people.start, known.people.stop]
        return digest.of_data(["mini", FACES_VERSION, source, seeds, known.style, PHOTOS])

    def _source(self, name: str) -> Source:
        if name not in SOURCES:
            raise unknown_name("face source", name, SOURCES, command="guidebench show mini")
        return SOURCES[name]

    def _photos(self, source: str, index: int) -> Tensor:
        path = self.cache / f"{source}-{index:04d}.safetensors"
        photos = _read(path)
        if photos is None:
            known = SOURCES[source]
            drawn = gather([photograph(known.people[index], number, known.style) for number in range(PHOTOS)])
            photos = to_uint8(drawn.render())
            _write(path, photos)
        return from_uint8(photos)


def _read(path: Path) -> Tensor | None:
    """The photographs in a file of the cache, or None if it is absent or is not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            photos, written = file.get_tensor("photos"), (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return photos if digest.of_tensors({"photos": photos}) == written else None


def _write(path: Path, photos: Tensor) -> None:
    """Keep photographs in the cache. A full or read-only disk is not an error: they are rendered again."""
    content = save_safetensors({"photos": photos}, metadata={"sha256": digest.of_tensors({"photos": photos})})
    with contextlib.suppress(OSError), files.written_aside(path, "wb") as stream:
        stream.write(content)

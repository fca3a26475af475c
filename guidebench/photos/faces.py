"""FFHQ and CelebA-HQ as `guidebench data scan` found them: the people of a frozen rule, from the user's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guidebench import digest, images
from guidebench.errors import BadInput
from guidebench.photos import manifests
from guidebench.photos.manifests import Listed, Manifest
from guidebench.testbed import Faces, Person


class ManifestFaces(Faces):
    """The sources "ffhq" and "celebahq", each read from its manifest when it is first asked for.

    Every file must still be the one that was scanned.
    """

    def __init__(self, resolution: int) -> None:
        """resolution: pixels per side of the photographs that are handed out."""
        self._resolution = resolution
        self._manifests: dict[str, Manifest] = {}

    def sources(self) -> Mapping[str, int]:
        """Each source has the thirty people of its rule, whether or not it was scanned yet."""
        return dict.fromkeys(manifests.SOURCES, manifests.LISTED)

    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        """See `guidebench.testbed.Faces.people`. Raises MissingAsset if the source was never scanned."""
        manifest = self._manifest(source)
        count = len(manifest.people)
        if indices and not 0 <= min(indices) <= max(indices) < count:
            raise BadInput(f"source '{source}' lists people 0 to {count - 1}, not {list(indices)}")
        return [self._person(manifest, manifest.people[index], photos) for index in indices]

    def manifest(self, source: str) -> str:
        """Digest of the rule and of all file contents; see `guidebench.photos.manifests.Manifest.digest`."""
        return self._manifest(source).digest

    def _manifest(self, source: str) -> Manifest:
        if source not in self._manifests:
            self._manifests[source] = manifests.read(source)
        return self._manifests[source]

    def _person(self, manifest: Manifest, person: Listed, photos: int) -> Person:
        if len(person.photos) < photos:
            raise BadInput(
                f"{manifest.rule} lists {len(person.photos)} photographs of {person.identity}, {photos} are needed; "
                f"set probe_photos = {len(person.photos) - 1} or fewer in the protocol"
            )
        shown = person.photos[:photos]
        pictures = torch.stack([self._load(manifest, photo) for photo in shown])
        return Person(person.identity, pictures, tuple(str(manifest.path(photo)) for photo in shown))

    def _load(self, manifest: Manifest, photo: manifests.Photo) -> Tensor:
        path, remedy = manifest.path(photo), manifests.remedy(manifest.source)
        try:
            unchanged = digest.of_file(path) == photo.sha256
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror or error}; {remedy}") from None
        if not unchanged:
            raise BadInput(f"{path} has changed since it was scanned; restore it, or {remedy}")
        return images.load(path, self._resolution, must_be_square=True)

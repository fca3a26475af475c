"""FFHQ and CelebA-HQ as `guidebench data scan` found them: the people of a frozen rule, from the user's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guidebench import digest, images
from guidebench.errors import BadInput
from guidebench.photos import manifests
from guidebench.photos.frames import Frame
from guidebench.photos.manifests import Listed, Manifest
from guidebench.testbed import Faces, Person


class ManifestFaces(Faces):
    """The sources "ffhq" and "celebahq", each read from its manifest when it is first asked for.

    Every file must still be the one that was scanned, and photographs must be cut as the generator's faces are.
    """

    def __init__(self, resolution: int, frame: Frame) -> None:
        """resolution: pixels per side of the photographs that are handed out. frame: of the generator's faces."""
        self._resolution, self._frame = resolution, frame
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
            self._manifests[source] = self._in_frame(manifests.read(source))
        return self._manifests[source]

    def _in_frame(self, manifest: Manifest) -> Manifest:
        if manifest.frame not in (None, self._frame):
            raise BadInput(
                f"the photographs of {manifest.source} below {manifest.root} are cut in another frame than this "
                f"generator's faces ({manifest.frames_line}; wanted: {self._frame}); cut them with `guidebench align "
                f"--frame {self._frame}`, or take those that are, and {manifests.remedy(manifest.source)}"
            )
        return manifest

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

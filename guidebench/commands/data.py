"""The commands that prepare photos: `guidebench data` and `guidebench align`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from guidebench.commands import common
from guidebench.errors import EXIT_BAD_INPUT, BadInput, MissingAsset

if TYPE_CHECKING:
    from guidebench.networks.mtcnn import FaceDetector
    from guidebench.photos.manifests import Manifest


@click.group("data")
def data_group() -> None:
    """Prepare photos of FFHQ and CelebA-HQ, and their statistics."""


@data_group.group()
def scan() -> None:
    """Find and hash the photos that the frozen rule picks."""


_root = click.argument("root", type=common.PATH)


@scan.command("ffhq")
@_root
def _scan_ffhq(root: Path) -> None:
    """Find and hash the photos of FFHQ.

    ROOT: FFHQ's images, or EG3D's crops of them: 00000.png to 69999.png, with or without folders of a thousand.
    """
    from guidebench.photos import manifests

    _write_manifest(manifests.scan("ffhq", root, manifests.ffhq_people(), _detector()))


@scan.command("celebahq")
@_root
@click.option("--identities", required=True, type=common.PATH, help="CelebA's identity_CelebA.txt.")
@click.option(
    "--mapping",
    required=True,
    type=common.PATH,
    help="CelebA-HQ's image_list.txt or CelebAMask-HQ's CelebA-HQ-to-CelebA-mapping.txt.",
)
def _scan_celebahq(root: Path, identities: Path, mapping: Path) -> None:
    """Find and hash the photos of CelebA-HQ.

    ROOT: CelebA-HQ's images, or EG3D's crops of them: 0.jpg to 29999.jpg, or 00000.png to 29999.png.
    """
    from guidebench.photos import manifests

    people = manifests.celebahq_people(identities, mapping)
    _write_manifest(manifests.scan("celebahq", root, people, _detector()))


def _detector() -> FaceDetector | None:
    """What tells the frames of photographs, if its files are there."""
    from guidebench.photos import align

    try:
        return align.load_detector("mtcnn")
    except MissingAsset:
        return None


def _write_manifest(manifest: Manifest) -> None:
    from guidebench.photos import manifests

    path = manifests.write(manifest)
    click.echo(f"wrote {path}: {manifest.lines[0]}; digest {manifest.digest}; {manifest.frames_line}")
    if hint := manifest.hint:
        click.echo(f"guidebench: {hint}", err=True)


@data_group.command("show")
@click.argument("source", type=click.Choice(["ffhq", "celebahq"]))
@click.option("--files", is_flag=True, help="Only the paths, one per line.")
@common.as_json
def _show(source: str, files: bool, as_json: bool) -> None:
    """Print a manifest: its people, files and digests."""
    from guidebench.photos import manifests

    manifest = manifests.read(source)
    if as_json:
        click.echo(json.dumps(manifest.as_data(), indent=1))
    elif files:
        click.echo("\n".join(str(manifest.path(photo)) for person in manifest.people for photo in person.photos))
    else:
        click.echo("\n".join(manifest.lines))


@data_group.command("statistics")
@click.argument("folder", required=False, type=common.PATH)
@click.option("--count", type=click.IntRange(2), help="How many photos (default: all).")
@click.option("--features", type=common.PATH, help="Read features instead of photos: FILE.npy, (n, 2048).")
@click.option("--title", help="The name of these photos in footnotes (default: that of the folder or file).")
@click.option("--out", type=common.FILE, help="Write this file instead of installing it.")
@click.option(
    "--testbed",
    type=click.Choice(["eg3d-ffhq", "stylegan2-ffhq", "eg3d-afhq"]),
    default="eg3d-ffhq",
    show_default=True,
    help="For whose generator: photos are resized to what it draws.",
)
@common.device
def _statistics(folder: Path | None, features: Path | None, out: Path | None, **options: Any) -> None:
    """Compute the statistics of real photos that ΔFID_real needs.

    They are installed as the asset of the testbed. Give FOLDER, which holds the photos, or --features.
    """
    from guidebench.photos import measuring

    click.echo(measuring.make(folder, features, out=out, **options))


@click.command("align")
@click.argument("inputs", nargs=-1, required=True, type=common.PATH, metavar="IN...")
@click.argument("out", type=common.FOLDER)
@click.option(
    "--frame",
    type=click.Choice(["eg3d", "ffhq"]),
    default="eg3d",
    show_default=True,
    help="EG3D's crop of 512 px, or FFHQ's square of 1024 px, for StyleGAN2.",
)
@click.option(
    "--conventions",
    type=click.Choice(["corrected", "published"]),
    default="corrected",
    show_default=True,
    help="Outside a photo, EG3D's crop shows its mirror image (corrected) or its border repeated (published).",
)
@click.option("--detector", type=click.Choice(["mtcnn", "insightface"]), default="mtcnn", show_default=True)
def align_command(
    inputs: tuple[Path, ...],
    out: Path,
    frame: Literal["eg3d", "ffhq"],
    conventions: str,
    detector: Literal["mtcnn", "insightface"],
) -> None:
    """Crop the largest face out of photos, as EG3D or FFHQ does.

    IN: photos, or folders, which are searched with all their sub-folders. OUT: the folder to write crops to. A photo
    that is such a crop already is copied. Exit code 2 if a photo shows no face or cannot be read; the others are still
    written.
    """
    from guidebench.photos import align

    if frame == "ffhq" and conventions == "published":
        raise BadInput("--conventions published concerns --frame eg3d; FFHQ's frame has one way only, so leave it out")
    failed = 0
    for fine, line in align.align_all(inputs, out, align.load_detector(detector), frame, fill=align.FILLS[conventions]):
        click.echo(line if fine else f"guidebench: {line}", err=not fine)
        failed += not fine
    if failed:
        sys.exit(EXIT_BAD_INPUT)

"""`guidebench bench`: how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--testbed",
    type=click.Choice(["mini", "eg3d-small", "eg3d-ffhq"]),
    default="mini",
    show_default=True,
    help="Networks: mini's, or EG3D's in a small size or the paper's (over 24 GiB), with random weights.",
)
@click.option("--work", type=click.Choice(["step", "sample", "both"]), default="both", show_default=True)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, …")
@click.option("--threads", type=click.IntRange(1), help="Of torch on a CPU (default: one per core).")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Timed runs each way.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("bench.json"), show_default=True, help="JSON file."
)
@click.option("--profile", is_flag=True, help="Show where our time goes instead.")
def bench(testbed: str, work: str, device: str, threads: int | None, repeats: int, out: Path, profile: bool) -> None:
    """Time our steps and samples against a plain loop.

    GUIDE's step and FID's samples, our way and in the released order of operations, in turn and on the same networks.
    What counts is the ratio: seconds on a busy machine mean little.
    """
    from guidebench import files
    from guidebench.environment import cores, resolve_device
    from guidebench.speed import bench as speed

    works = ["step", "sample"] if work == "both" else [work]
    place, count = resolve_device(device), threads or cores()
    if profile:
        for name in works:
            click.echo(speed.profiled(testbed, place, name, threads=count))
        return
    found = speed.measure(testbed, place, works, repeats=repeats, threads=count)
    files.write_json(found.to_data(), out)
    click.echo(found.table())
    click.echo(f"wrote {out}", err=True)

"""`guidebench bench`: how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import click

from guidebench.commands import common
from guidebench.errors import BadInput


@click.command()
@click.option(
    "--testbed",
    type=click.Choice(["mini", "eg3d-small", "eg3d-ffhq"]),
    default="mini",
    show_default=True,
    help="Networks: mini's, or EG3D's in a small size or the paper's (over 24 GiB), with random weights.",
)
@click.option(
    "--work",
    type=click.Choice(["step", "sample", "both", "workers"]),
    default="both",
    show_default=True,
    help="workers: whole runs on mini with one worker and with several.",
)
@click.option("--workers", type=click.IntRange(2), default=2, show_default=True, help="For --work workers.")
@click.option("--trials", type=click.IntRange(1), default=8, show_default=True, help="For --work workers.")
@click.option("--samples", type=click.IntRange(2), help="For --work workers (default: the protocol's).")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, …")
@click.option("--threads", type=click.IntRange(1), help="Of torch on a CPU (default: one per core).")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Timed runs each way.")
@click.option("--out", type=common.PATH, default="bench.json", show_default=True, help="JSON file.")
@click.option("--profile", is_flag=True, help="Show where our time goes instead.")
def bench(
    testbed: str,
    work: str,
    workers: int,
    trials: int,
    samples: int | None,
    device: str,
    threads: int | None,
    repeats: int,
    out: Path,
    profile: bool,
) -> None:
    """Time our steps and samples against a plain loop.

    GUIDE's step and FID's samples, our way and in the released order of operations, in turn and on the same networks.
    What counts is the ratio: seconds on a busy machine mean little.
    """
    from guidebench import files
    from guidebench.environment import cores, resolve_device
    from guidebench.speed import bench as speed

    if work == "workers":
        _bench_workers(testbed, resolve_device(device), workers, trials, samples, repeats, out, profile)
        return
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


def _bench_workers(
    testbed: str, device: str, workers: int, trials: int, samples: int | None, repeats: int, out: Path, profile: bool
) -> None:
    from guidebench import files
    from guidebench.speed import scaling

    if testbed != "mini" or profile:
        raise BadInput("--work workers times whole runs on testbed mini, without a profile; leave the others out")
    found = scaling.measure(testbed, device, workers=workers, trials=trials, samples=samples, repeats=repeats)
    files.write_json(found.to_data(), out)
    click.echo(found.table())
    click.echo(f"wrote {out}", err=True)

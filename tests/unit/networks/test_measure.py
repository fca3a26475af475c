"""The measuring module: what it times is a render and GUIDE's own step, at any size."""

import re

import pytest

from guidebench.networks import measure


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"img_resolution": 128, "channel_base": 512, "channel_max": 4, "z_dim": 8, "w_dim": 8}
    rendering = {
        "superresolution_module": "training.superresolution.SuperresolutionHybrid2X",
        "depth_resolution": 4,
        "depth_resolution_importance": 4,
    }
    monkeypatch.setattr(measure, "INIT_KWARGS", {**measure.INIT_KWARGS, **sizes})
    monkeypatch.setattr(measure, "RENDERING_KWARGS", {**measure.RENDERING_KWARGS, **rendering})


def row(table: str) -> list[str]:
    """The cells of the only row of a Markdown table."""
    return [cell.strip() for cell in table.splitlines()[2].strip("|").split("|")]


def test_renders_are_timed_one_by_one(capsys):
    measure.main(["render", "--rays", "8", "--steps", "3"])
    name, device, threads, *seconds, memory = row(capsys.readouterr().out)
    assert (name, threads) == ("render, 8 x 8 rays", "1") and device.startswith("cpu")
    wall, worked = ([float(value) for value in column.split()] for column in seconds)
    assert len(wall) == len(worked) == 3 and min(wall + worked) > 0
    assert 0.1 < float(memory.removesuffix(" GiB")) < 100


def test_a_step_is_the_guide_baselines_on_eg3d(capsys, monkeypatch):
    """Five codes: the forgotten one, two adjacent, two random ones, as the method's own defaults are."""
    from guidebench.baselines.guide import Guide

    batches = []
    losses = Guide.losses

    def watched(self, generator, latent, target, draws, context):
        batches.append((len(draws.towards), len(draws.others)))
        return losses(self, generator, latent, target, draws, context)

    monkeypatch.setattr(Guide, "losses", watched)
    measure.main(["step", "--rays", "8", "--steps", "1"])
    assert batches == [(2, 2)]
    assert re.match(r"GUIDE .*\b5 codes, 8 x 8 rays\b", row(capsys.readouterr().out)[0])

"""The stages of mini's training, what each needs, and a runner of plans that keeps a few processes busy."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

import torch

from guidebench import files
from guidebench.testbeds.mini.training.loop import Settings

_log = logging.getLogger(__name__)

# Large temporaries are otherwise page-faulted afresh by glibc at every step, which costs up to ten times the time.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "200000000",
}


@dataclass(frozen=True)
class PlannedStage:
    """One process of the training. Stages are listed by priority: the first that is ready starts first."""

    name: str
    target: str  # module:callable taking Settings; a Stage subclass is built and run
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All stages of a testbed's training. The command `python -m PACKAGE` runs them."""

    package: str  # holds the modules of the stages
    order: tuple[PlannedStage, ...]

    @property
    def stages(self) -> dict[str, PlannedStage]:
        """By name, in order."""
        return {stage.name: stage for stage in self.order}

    def run_stage(self, settings: Settings, name: str) -> None:
        """Run one stage in this process, unless it is done. Raises SystemExit if something that it needs is not."""
        stage = self.stages[name]
        missing = [need for need in stage.needs if not is_done(settings, need)]
        if missing:
            raise SystemExit(f"stage '{name}' needs {', '.join(missing)} first; run those, or all without --stages")
        if is_done(settings, name):
            _log.info("%s: done before", name)
            return
        module, _, attribute = stage.target.partition(":")
        target = getattr(import_module(f"{self.package}.{module}"), attribute)
        if isinstance(target, type):
            target(settings).run()
        else:
            _run_function(settings, name, target)

    def run(self, settings: Settings, names: Sequence[str], arguments: Sequence[str], workers: int) -> None:
        """Run stages as processes of their own, at most `workers` at once, each as soon as what it needs is done."""
        waiting = [stage for stage in self.order if stage.name in names and not is_done(settings, stage.name)]
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            while waiting or running:
                for stage in list(waiting):
                    if len(running) < workers and all(is_done(settings, need) for need in stage.needs):
                        waiting.remove(stage)
                        running[stage.name] = self._start(stage.name, arguments)
                if not running:
                    raise SystemExit(
                        f"nothing can start: {', '.join(stage.name for stage in waiting)} wait for other stages"
                    )
                time.sleep(0.2)
                for name, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[name]
                    if process.returncode:
                        raise SystemExit(f"stage '{name}' failed with exit status {process.returncode}")
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()

    def _start(self, name: str, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        _log.info("%s starting %s", time.strftime("%H:%M:%S"), name)
        command = [sys.executable, "-m", self.package, *arguments, "--stages", name, "--workers", "1"]
        return subprocess.Popen(command, env={**os.environ, **ALLOCATOR})


def is_done(settings: Settings, stage: str) -> bool:
    """Whether a stage has left its summary."""
    return (settings.folder(stage) / "done.json").exists()


def _run_function(settings: Settings, name: str, function: Callable[[Settings], None]) -> None:
    started_cpu, started = time.process_time(), time.perf_counter()
    function(settings)
    summary = {
        "stage": name,
        "seed": settings.seed,
        "device": str(settings.device),
        "torch": torch.__version__,
        "cpu_seconds": round(time.process_time() - started_cpu, 1),
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    files.write_json(summary, settings.folder(name) / "done.json")


_FIRST_DATA = ("data-validation", "data-recognizer", "data-curricularface")
_DATA = (*_FIRST_DATA, "data-arcface", "data-held-out")

PLAN = Plan(
    "guidebench.testbeds.mini.training",
    (
        PlannedStage("data-validation", "data:render_validation"),
        PlannedStage("data-recognizer", "data:render_recognizer_set"),
        PlannedStage("data-curricularface", "data:render_curricularface_set"),
        PlannedStage("generator-points", "generator:GeneratorPoints", _FIRST_DATA),
        PlannedStage("data-arcface", "data:render_arcface_set"),
        PlannedStage("data-held-out", "data:render_held_out"),
        PlannedStage("perceptual", "regression:Perceptual", _DATA),
        PlannedStage("generator-images", "generator:GeneratorImages", ("generator-points", "perceptual")),
        PlannedStage("generated", "generated:render_generated", ("generator-images",)),
        PlannedStage("recognizer", "recognition:TrainingRecognizerStage", _DATA),
        PlannedStage("encoder-parameters", "inversion:EncoderParameters", _DATA),
        PlannedStage(
            "encoder", "inversion:EncoderStage", ("encoder-parameters", "generated", "recognizer", "perceptual")
        ),
        PlannedStage("curricularface", "recognition:CurricularFaceStage", _DATA),
        PlannedStage("arcface", "recognition:ArcFaceStage", _DATA),
        PlannedStage("fid", "regression:FidFeatures", _DATA),
        PlannedStage("presence-curricularface", "presence:CurricularFacePresence", ("curricularface", "generated")),
        PlannedStage("presence-arcface", "presence:ArcFacePresence", ("arcface", "generated")),
        PlannedStage(
            "export", "export:export_weights", ("encoder", "fid", "presence-curricularface", "presence-arcface")
        ),
        PlannedStage("measure", "measure:measure_weights", ("export",)),
        PlannedStage("card", "card:write_card", ("measure",)),
    ),
)

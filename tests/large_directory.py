"""A directory of very many records: makes one, and measures what the commands that read records cost on it.

    python tests/large_directory.py make DIR --records 100000
    python tests/large_directory.py measure DIR

Records have the format and the size of real ones: the reference results that come with the package are the pattern.
Every method forgets the same people; a person's evidence, latents and progress are one file each, hard-linked into the
folders of all methods.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from guidebench import digest
from guidebench.store.folders import slug
from guidebench.store.record import Record

PATTERN = "records/celebahq-multi/guide/"
PEOPLE, SEEDS = 100, 10  # per method
_ROLES = ("forget", *["probe"] * 4, *["named"] * 2, *["retain"] * 2)
_VIEWS, _EMBEDDING, _SAMPLES, _FEATURES = 3, 128, 10, 128  # smaller than real ones: only the first reading sees them
_PERSON, _CREATED, _KEY, _DIGEST = "a-person", "a-time", "a-key", "a-digest"
_SEED = 777777777


def make(folder: Path, records: int, people: int = PEOPLE, seeds: int = SEEDS) -> None:
    """Writes ``records`` measured trials of celebahq-multi below a folder, as many methods as that takes."""
    names = [f"celebahq-{number:04d}" for number in range(people)]
    parts = {name: _files(folder / ".parts" / name, name, number) for number, name in enumerate(names)}
    pattern = _pattern()
    for method, start in enumerate(range(0, records, people * seeds)):
        own = _method(pattern, method, people * seeds)
        above = folder / "records" / slug(own.spec.protocol.name) / slug(own.spec.method.label)
        above.mkdir(parents=True)
        texts = _Texts(own)
        for number in range(start, min(records, start + people * seeds)):
            seed, person = divmod(number - start, people)
            name = names[person]
            key, text = texts.of(name, seed, number, parts[name])
            target = above / f"{name}-s{seed}-{key[:12]}"
            target.mkdir()
            for part in parts[name]:
                os.link(folder / ".parts" / name / part, target / part)
            (target / "record.json").write_text(text, encoding="utf-8")


def _pattern() -> Record:
    packed = resources.files("guidebench.reports.mini") / "results.zip"
    with packed.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        name = min(name for name in archive.namelist() if name.startswith(PATTERN) and name.endswith("record.json"))
        return Record.from_json(archive.read(name))


def _method(pattern: Record, method: int, trials: int) -> Record:
    alpha = 15.0 + method / 8
    chosen = replace(
        pattern.spec.method,
        label=f"guide(alpha_max={alpha})",
        fields={**pattern.spec.method.fields, "alpha_max": alpha},
    )
    scores = tuple(replace(score, identity=_PERSON) for score in pattern.outcome.scores)
    return replace(
        pattern,
        spec=replace(pattern.spec, method=chosen, requests=((_PERSON,),), seed=_SEED),
        environment=replace(pattern.environment, created=_CREATED),
        outcome=replace(pattern.outcome, scores=scores),
    )


class _Texts:
    """record.json of the trials of one method: written once, with other people, seeds and values put in."""

    def __init__(self, record: Record) -> None:
        self._spec = json.dumps(self._spec_of(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        data = json.loads(record.to_json())
        del data["digest"]
        data["key"] = _KEY
        self._values = [score["value"] for score in data["outcome"]["scores"]]
        for place, score in enumerate(data["outcome"]["scores"]):
            score["value"] = f"@{place}@"
        data["files"] = {**data["files"], **{name: f"a-{name}" for name in PARTS}}
        places = [f'"@{place}@"' for place in range(len(self._values))]
        self._words = "|".join(
            [*places, _PERSON, str(_SEED), _CREATED, _KEY, _DIGEST, *(f"a-{name}" for name in PARTS)]
        )
        self._bare = self._split(json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
        self._full = self._split(json.dumps({**data, "digest": _DIGEST}, sort_keys=True, indent=1, ensure_ascii=False))

    def _split(self, text: str) -> list[str]:
        return re.split(f"({self._words})", text)

    @staticmethod
    def _spec_of(record: Record) -> dict[str, Any]:
        asked: list[dict[str, Any]] = []
        with mock.patch("guidebench.store.record.digest.of_data", side_effect=lambda data: asked.append(data) or ""):
            _ = replace(record.spec).key
        return asked[0]

    def of(self, person: str, seed: int, number: int, parts: Mapping[str, str]) -> tuple[str, str]:
        """A trial's key and the text of its record.json."""
        key = digest.of_bytes(self._spec.replace(_PERSON, person).replace(str(_SEED), str(seed)).encode())
        factors = np.random.default_rng(number).uniform(0.5, 1.0, len(self._values)).tolist()
        values = {
            f'"@{place}@"': json.dumps(value and value * factor)
            for place, (value, factor) in enumerate(zip(self._values, factors, strict=True))
        }
        words = {
            **values,
            _PERSON: person,
            str(_SEED): str(seed),
            _CREATED: time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(1.7e9 + number)),
            _KEY: key,
            **{f"a-{name}": parts[name] for name in PARTS},
        }
        words[_DIGEST] = digest.of_bytes("".join(words.get(part, part) for part in self._bare).encode())
        full = "".join(words.get(part, part) for part in self._full)
        return key, full + "\n"


PARTS = ("evidence.npz", "latents.npz", "progress.csv")


def _files(folder: Path, person: str, number: int) -> dict[str, str]:
    """Writes what a trial of this person leaves beside record.json; returns the digests."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(number)
    others = [f"other-{place}" for place in range(_ROLES.count("named") + _ROLES.count("retain"))]
    own = len(_ROLES) - len(others)
    arrays = {
        "identity": np.array([person] * own + others),
        "role": np.array(_ROLES),
        "photo": np.array([*range(own), *[0] * len(others)]),
        "request": np.array([1] * own + [0] * len(others)),
        "frontal": np.array(_VIEWS // 2),
        "judges": np.array(["curricularface", "arcface"]),
        "after/features": draws.standard_normal((1, _SAMPLES, _FEATURES), dtype=np.float32),
    }
    for judge in ("curricularface", "arcface"):
        for name, shape in (("before", (len(_ROLES), _VIEWS)), ("after", (1, len(_ROLES), _VIEWS))):
            vectors = draws.standard_normal((*shape, _EMBEDDING), dtype=np.float32)
            arrays[f"{judge}/{name}"] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
            arrays[f"{judge}/{name}/found"] = np.ones(shape, dtype=bool)
    np.savez(folder / "evidence.npz", **arrays)
    np.savez(folder / "latents.npz", **{person: draws.standard_normal((14, 64), dtype=np.float32)})
    (folder / "progress.csv").write_text("request,step,loss\n" + "1,1,0.5\n" * 100, encoding="utf-8")
    return {name: digest.of_file(folder / name) for name in PARTS}


# Measuring -------------------------------------------------------------------------------------------------------

_COMMAND = "import sys; from guidebench.commands.main import main; sys.argv[1:] = {}; main()"
COMMANDS = {
    "guidebench status": _COMMAND.format("['status', DIR]"),
    "guidebench report --layout short": _COMMAND.format("['report', DIR, '--layout', 'short']"),
    "guidebench.records()": "import guidebench; frame = guidebench.records(DIR); print(len(frame), 'scores')",
}
_PEAK = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"


def measure(folder: Path) -> Iterator[str]:
    """A line per command: CPU seconds, seconds on the clock and peak memory of a process of its own."""
    for name, code in COMMANDS.items():
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        program = f"import atexit, resource, sys; atexit.register(lambda: {_PEAK}); DIR = {str(folder)!r}; {code}"
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        wall, peak = time.perf_counter() - started, int(found.stderr.split()[-1]) / 2**10
        yield f"{name:34} {cpu:7.1f} s CPU {wall:7.1f} s {peak:7.0f} MiB  exit {found.returncode}"


def main() -> None:
    """Makes or measures, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=100_000)
    given = parser.parse_args()
    if given.do == "make":
        make(given.folder, given.records)
        return
    for line in measure(given.folder):
        print(line, flush=True)


if __name__ == "__main__":
    main()

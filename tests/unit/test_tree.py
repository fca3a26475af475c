"""unit/ mirrors the package: guidebench/a/b.py is tested in tests/unit/a/test_b.py."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

# Modules without a test file of their own, and the files that test them instead, below tests/.
ELSEWHERE = {
    # Assets are one room with one door.
    "assets/catalogue.py": "unit/assets/test_assets.py",
    # `guidebench check` is tested on everything that is registered, and on what breaks the rules.
    "checks/method.py": "contract/test_methods.py",
    "checks/metric.py": "contract/test_metrics.py",
    "checks/plugin.py": "contract/test_metrics.py",
    "checks/supports.py": "contract/test_methods.py",
    "checks/testbed.py": "contract/test_testbeds.py",
    # Commands that only hand their options on are tested from the command line.
    "commands/assets.py": "unit/assets/test_assets.py",
    "commands/check.py": "end_to_end/test_doors.py",
    "commands/common.py": "unit/commands/test_main.py",
    "commands/data.py": "unit/photos/test_manifests.py",
    "commands/render.py": "end_to_end/test_recorded.py",
    # Plain data that a run sends and its watchers hear.
    "engine/events.py": "unit/commands/test_progress.py",
    # A submission is checked as a whole.
    "engine/judged_again.py": "unit/submissions/test_verify.py",
    "submissions/claims.py": "unit/submissions/test_verify.py",
    "submissions/on_testbed.py": "unit/submissions/test_verify.py",
    "submissions/recomputed.py": "unit/submissions/test_verify.py",
    # Parts of one network or of the loading of its files.
    "networks/builders.py": "unit/networks/test_checkpoints.py",
    "networks/pickles.py": "unit/networks/test_hostile_checkpoints.py",
    "networks/swin.py": "unit/networks/test_goae.py",
    # Folders of photographs are tested through what reads them.
    "photos/faces.py": "unit/photos/test_manifests.py",
    "photos/measuring.py": "unit/photos/test_manifests.py",
    # The networks of mini are of use together only.
    "testbeds/mini/encoder.py": "unit/testbeds/mini/test_testbed.py",
    "testbeds/mini/features.py": "unit/testbeds/mini/test_testbed.py",
    "testbeds/mini/fid.py": "unit/testbeds/mini/test_testbed.py",
    "testbeds/mini/layers.py": "unit/testbeds/mini/test_generator.py",
    "testbeds/mini/paint.py": "unit/testbeds/mini/test_renderer.py",
    "testbeds/mini/parameters.py": "unit/testbeds/mini/test_renderer.py",
    "testbeds/mini/people.py": "unit/testbeds/mini/test_renderer.py",
    "testbeds/mini/recognizers.py": "unit/testbeds/mini/test_testbed.py",
    "testbeds/mini/weights_version.py": "unit/testbeds/mini/test_weights_io.py",
    # What testbeds of published networks share is tested with the first of them.
    "testbeds/published.py": "unit/testbeds/test_eg3d.py",
    # Tables before their cells are known are tested with their cells.
    "reporting/across.py": "unit/reporting/test_scores.py",
    "reporting/sketches.py": "unit/reporting/test_layout.py",
    # What a benchmark consists of is tested as a whole.
    "speed/bench.py": "unit/commands/test_bench.py",
    "speed/plain_eg3d.py": "unit/speed/test_plain.py",
    "speed/plain_mini.py": "unit/speed/test_plain.py",
    "speed/workloads.py": "unit/commands/test_bench.py",
    # Records of an index are tested where they come from.
    "store/lazy.py": "unit/store/test_index.py",
    # Constants.
    "repairs.py": "unit/commands/test_doctor.py",
}
# Test files of no single module.
OF_NO_MODULE = {
    "engine/test_short_memory.py": "of room.py: a device of little memory, and all that the engine renders",
    "baselines/test_floors.py": "of baselines/nothing.py and baselines/scramble.py",
    "baselines/test_ged_loop.py": "of the numbers of baselines/ged.py, step by step",
    "baselines/test_legato_loop.py": "of the numbers of baselines/legato.py, step by step",
    "baselines/test_guide_loop.py": "of the numbers of baselines/guide.py, step by step",
    "baselines/test_guide_people.py": "of baselines/guide.py: several people in one request",
    "baselines/test_sugar_loop.py": "of the numbers of baselines/sugar.py, step by step",
    "networks/test_hostile_checkpoints.py": "of what networks/pickles.py refuses",
    "reporting/formats/test_goldens.py": "of what all formats print of one set of records",
    "engine/test_shared_directory.py": "of engine/run.py: several runs in one directory, and one that is taken away",
    "store/test_places.py": "of store/folders.py: where records lie, and how one takes the place of another",
    "reporting/test_weights_versions.py": "of all commands that read records, on two versions of the weights",
    "test_docs.py": "of docs/",
    "test_doctests.py": "of all docstrings",
    "test_import_circles.py": "of all imports",
    "test_packaging.py": "of pyproject.toml",
    "test_presets.py": "of reports/mini/presets.py",
    "test_reference_results.py": "of reports/",
    "test_site.py": "of docs/_ext/ and docs/check_links.py, which build the site",
    "test_tree.py": "of this tree",
    "testbeds/mini/test_training.py": "of testbeds/mini/training/",
    "testbeds/mini_2d/test_training.py": "of testbeds/mini_2d/training/",
}
# Files of more than 500 lines, and why they are not two.
LONG: dict[str, str] = {}
NOT_MIRRORED = ("testbeds/mini/training/", "testbeds/mini_2d/training/")  # trained once


def test_file(module: str) -> str:
    """The test file of a module; of a package, the one that is called like it."""
    path = Path(module)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return str(path.parent / f"test_{name}.py")


test_file.__test__ = False


def untested(modules: Iterable[str], tests: Iterable[str], elsewhere: Iterable[str]) -> list[str]:
    """The modules that have no test file and are excused by nothing."""
    exempt = ("__init__.py", "__main__.py")
    return [
        module
        for module in modules
        if Path(module).name not in exempt
        and not module.startswith(NOT_MIRRORED)
        and test_file(module) not in tests
        and module not in elsewhere
    ]


def orphans(modules: Iterable[str], tests: Iterable[str], of_no_module: Iterable[str]) -> list[str]:
    """The test files whose module is not there."""
    of_modules = {test_file(module) for module in modules}
    return [
        test
        for test in tests
        if test not in of_modules and test not in of_no_module and not test.startswith(NOT_MIRRORED)
    ]


def below(folder: Path, pattern: str = "*.py") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(pattern))


@pytest.fixture(scope="module")
def modules(root):
    """What is mirrored: the package, and the methods that ship, which are beside it in a checkout."""
    own = [f"baselines/{name}" for name in below(root / "baselines")]
    return below(root / "guidebench") + own


@pytest.fixture(scope="module")
def tests(root):
    return below(root / "tests/unit", "test_*.py")


def test_no_file_is_long_without_a_reason(root):
    files = [path for room in ("guidebench", "baselines", "reports", "tests") for path in (root / room).rglob("*.py")]
    long = {str(path.relative_to(root)) for path in files if len(path.read_text().splitlines()) > 500}
    assert long == set(LONG)


def test_every_module_has_its_test_file(modules, tests):
    floors = {"baselines/nothing.py", "baselines/scramble.py"}
    assert untested(modules, tests, {*ELSEWHERE, *floors}) == []


def test_every_test_file_has_its_module(modules, tests):
    assert orphans(modules, tests, OF_NO_MODULE) == []


def test_exceptions_are_needed_and_lead_to_tests(modules, tests, root):
    assert [module for module in ELSEWHERE if module not in modules or test_file(module) in tests] == []
    assert [file for file in ELSEWHERE.values() if not (root / "tests" / file).is_file()] == []
    assert [file for file in OF_NO_MODULE if file not in tests] == []


def test_a_module_that_is_added_without_a_test_is_noticed():
    assert untested(["engine/new.py", "engine/__init__.py"], ["engine/test_old.py"], []) == ["engine/new.py"]
    assert untested(["engine/new.py"], ["engine/test_new.py"], []) == []


def test_a_test_file_whose_module_went_is_noticed():
    assert orphans(["assets/__init__.py"], ["assets/test_assets.py", "test_gone.py"], []) == ["test_gone.py"]

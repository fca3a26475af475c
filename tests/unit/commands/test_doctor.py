"""The doctor: one line a finding, the traps by name, and the command that comes next."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from guidebench import assets, repairs
from guidebench.assets import catalogue
from guidebench.assets.catalogue import Asset
from guidebench.commands import doctor
from guidebench.commands.doctor import Finding, onnxruntime_finding
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.photos import manifests

CPU_ONLY = ["AzureExecutionProvider", "CPUExecutionProvider"]
WITH_CUDA = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
BOTH = ["onnxruntime", "onnxruntime-gpu"]


OWN_TESTBED = """
from pathlib import Path

from guidebench.testbeds.linear import LinearTestbed

class Mine(LinearTestbed):
    name = "mine"

    def missing(self, sources=()):
        there = (Path(__file__).parent / "weights.pt").exists()
        return [] if there else ["weights.pt is missing; copy it to FOLDER"]
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GUIDEBENCH_ASSETS", raising=False)


def examined(testbed: str, **options) -> dict[str, Finding]:
    """Findings by name; the first of each."""
    found: dict[str, Finding] = {}
    for finding in doctor.examine(testbed, **options):
        found.setdefault(finding.name, finding)
    return found


def test_this_machine_can_run_mini(tmp_path):
    done = CliRunner().invoke(main, ["doctor", "--device", "cpu", "--out", str(tmp_path / "runs")])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0, done.stdout
    assert lines[-1].endswith(": guidebench run --protocol celebahq-multi --method guide")
    assert all(line.startswith(("ok ", "note ")) for line in lines[:-1])
    assert not (tmp_path / "runs").exists()  # looked at, not made


def test_json_says_the_same():
    done = CliRunner().invoke(main, ["doctor", "--device", "cpu", "--json"])
    found = json.loads(done.stdout)
    assert found["can_run"] and found["next"].startswith("guidebench run")
    assert {"python", "torch", "device", "torchvision", "insightface", "cache", "weights"} <= {
        item["name"] for item in found["findings"]
    }


def test_a_testbed_without_its_files_cannot_run_and_they_are_named():
    done = CliRunner().invoke(main, ["doctor", "--testbed", "eg3d-ffhq", "--device", "cpu"])
    assert done.exit_code == 2
    assert done.stdout.splitlines()[-1].endswith(": guidebench assets fetch --testbed eg3d-ffhq")
    for asset in catalogue.needed_by("eg3d-ffhq"):
        level = "note" if asset.without else "FAIL"
        assert (f"{level} {asset.id}: {asset.file}" in done.stdout) == (asset.id != "arcface-antelopev2"), asset.id


def test_a_testbed_with_its_files_can_run(monkeypatch, tmp_path):
    small = Asset("hand", "hand.pkl", "a role", "a licence", 9, "a page", "pickle", testbeds=("linear",))
    monkeypatch.setattr(catalogue, "ASSETS", (small,))
    assert examined("linear", device="cpu")["hand"].level == "FAIL"
    assets.folder().mkdir(parents=True)
    (assets.folder() / "hand.pkl").write_bytes(b"\x80.")
    found = examined("linear", device="cpu")
    assert "hand" not in found and found["assets"].level == "ok"
    assert doctor.can_run(list(found.values()))


def test_photo_sets_are_looked_for_and_the_command_that_finds_them_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path / "home"))
    found = examined("eg3d-ffhq", device="cpu")
    assert found["celebahq"].level == "note"
    assert "`guidebench data scan celebahq FOLDER --identities" in found["celebahq"].detail
    assert "ffhq" not in examined("linear", device="cpu")
    people = manifests.ffhq_people()
    for index in sum(people.values(), []):
        Image.new("RGB", (512, 512)).save(tmp_path / f"{index:05d}.png")
    manifests.write(manifests.scan("ffhq", tmp_path, people))
    assert examined("eg3d-ffhq", device="cpu")["ffhq"].detail.startswith("30 people, 30 photo")
    (tmp_path / "25605.png").unlink()
    found = examined("eg3d-ffhq", device="cpu")["ffhq"]
    assert found.level == "note" and re.search(r"\b1 of 30\b.*\b25605\.png", found.detail)


def test_a_testbed_in_a_file_names_what_it_lacks_and_its_first_run(tmp_path):
    spec = f"{tmp_path / 'mine.py'}:Mine"
    (tmp_path / "mine.py").write_text(OWN_TESTBED)
    lacking = [finding for finding in doctor.examine(spec, device="cpu") if finding.level == "FAIL"]
    assert [finding.detail for finding in lacking] == ["weights.pt is missing; copy it to FOLDER"]
    (tmp_path / "weights.pt").touch()
    found = doctor.examine(spec, device="cpu")
    assert doctor.can_run(found)
    assert doctor.next_command(found, spec) == f"guidebench run --protocol smoke --method guide --testbed {spec}"


def test_an_unknown_testbed_gets_the_closest_name():
    with pytest.raises(BadInput, match="'mini'"):
        doctor.examine("mimi")


def test_cuda_that_is_asked_for_and_absent_is_a_failure(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = examined("mini", device="cuda")["device"]
    assert found.level == "FAIL" and found.repair == "guidebench doctor --testbed mini --device cpu"


def test_an_unused_gpu_is_noted(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(doctor, "_has_nvidia_driver", lambda: True)
    levels = [finding.level for finding in doctor.examine("mini") if finding.name == "device"]
    assert levels == ["ok", "note"]


@pytest.mark.parametrize(
    ("installed", "providers", "needs_cuda", "level"),
    [
        (BOTH, WITH_CUDA, True, "ok"),
        (BOTH, CPU_ONLY, True, "FAIL"),
        (BOTH, CPU_ONLY, False, "note"),
        (["onnxruntime"], CPU_ONLY, True, "FAIL"),
        (["onnxruntime"], CPU_ONLY, False, "note"),
    ],
)
def test_the_onnxruntime_trap(installed, providers, needs_cuda, level):
    """Both packages own one folder: where the CPU one is on top, only the list of providers shows it."""
    found = onnxruntime_finding(installed, providers, needs_cuda=needs_cuda)
    assert found.level == level
    alone = onnxruntime_finding(["onnxruntime"], providers, needs_cuda=needs_cuda)
    assert (found.detail != alone.detail) == (installed == BOTH and providers == CPU_ONLY)
    if level != "ok":
        assert "install --force-reinstall --no-deps onnxruntime-gpu" in found.line


def test_opencv_without_its_system_libraries_names_them(monkeypatch):
    def load():
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    found = doctor._import("opencv-python", load)
    assert found.level == "FAIL" and "libGL.so.1" in found.detail
    assert "libgl1 libglib2.0-0" in found.repair


def test_a_package_that_cannot_be_imported_fails_in_one_line():
    def load():
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    found = doctor._import("torchvision", load)
    assert (
        found.level == "FAIL"
        and "\n" not in found.line
        and "RuntimeError: operator torchvision::nms does" in found.line
    )


def test_without_torch_nothing_else_is_looked_at(monkeypatch):
    real = doctor._import
    monkeypatch.setattr(doctor, "_import", lambda name, *more: real(name, lambda: 1 / 0))
    found = doctor.examine("mini")
    assert found[-1].name == "torch" and not doctor.can_run(found) and doctor.next_command(found, "mini")


def install(monkeypatch, torch: str, torchvision: str, *requires: str) -> None:
    """Make these two look installed; ``requires`` is torchvision's metadata."""
    version, real = {"torch": torch, "torchvision": torchvision}, (metadata.version, metadata.requires)
    monkeypatch.setattr(metadata, "version", lambda name: version.get(name) or real[0](name))
    monkeypatch.setattr(metadata, "requires", lambda name: list(requires) if name in version else real[1](name))


def test_versions_out_of_bounds_are_named(monkeypatch):
    install(monkeypatch, "2.12.1+cu130", "0.27.1")
    old_torch, old_torchvision = doctor._versions()
    assert old_torch.level == "FAIL" and "2.12.1+cu130" in old_torch.detail and ">=2.13" in old_torch.detail
    assert old_torchvision.level == "FAIL" and "0.27.1" in old_torchvision.detail


@pytest.mark.parametrize(
    ("torch", "torchvision", "requires"),
    [
        ("2.13.0+cpu", "0.28.0", ["numpy", "torch (==2.13.0)", "scipy ; extra == 'scipy'"]),
        ("2.14.0", "0.29.0", ["torch (==2.14.0)"]),
        ("2.14.1+cu130", "0.29.1", ["torch (>=2.14.0)"]),
    ],
)
def test_a_torchvision_beside_the_torch_that_it_names_is_no_finding(monkeypatch, torch, torchvision, requires):
    """What the released packages require, local versions included."""
    install(monkeypatch, torch, torchvision, *requires)
    assert list(doctor._versions()) == list(doctor._fit()) == []


@pytest.mark.parametrize(
    ("torch", "torchvision", "asked"), [("2.14.1", "0.28.0", "==2.13.0"), ("2.13.0+cpu", "0.29.1", ">=2.14.0")]
)
def test_a_torchvision_for_another_torch_is_noted_with_the_command_that_keeps_torch(
    monkeypatch, torch, torchvision, asked
):
    install(monkeypatch, torch, torchvision, f"torch ({asked})", "torch (==1.0) ; extra == 'old'")
    (found,) = doctor._fit()
    assert (found.level, found.name) == ("note", "torchvision")
    assert found.detail == f"{torchvision} is made for torch {asked}, and {torch} is installed"
    assert found.repair.endswith(f"-m pip install torchvision torch=={torch.partition('+')[0]}")


def test_a_torch_that_is_newer_than_those_tried_is_noted_and_a_later_patch_is_not(monkeypatch):
    install(monkeypatch, "2.14.7", "0.29.1", "torch (>=2.14.0)")
    assert list(doctor._fit()) == []
    install(monkeypatch, "2.16.0+cu130", "0.29.1", "torch (>=2.14.0)")
    (found,) = doctor._fit()
    assert found.level == "note" and "2.16.0+cu130 is newer than 2.15.0" in found.detail


def test_the_torch_releases_that_were_tried_are_told_and_the_pinned_one_is_among_them(root: Path):
    text, pins = (root / "docs/dependencies.md").read_text(), (root / "constraints.txt").read_text().splitlines()
    assert all(f"torch {release}" in text for release in doctor.TRIED_TORCH)
    assert [line for line in pins if line.startswith("torch==")] == [f"torch=={doctor.TRIED_TORCH[0]}"]


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = doctor._folder("cache", tmp_path, repair="export X=Y")
    assert found.level == "FAIL" and "Permission denied" in found.detail and found.repair == "export X=Y"


@pytest.mark.parametrize(("free", "level"), [(10**6, "FAIL"), (10**8, "note"), (10**10, "ok")])
def test_scarce_disk_space_is_told(free, level, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "free_bytes", lambda path: free)
    assert doctor._folder("records", tmp_path / "not" / "yet", repair="a command").level == level


def test_damaged_weights_of_mini_are_found(monkeypatch, tmp_path):
    from guidebench.testbeds.mini import WEIGHTS_VERSION, MiniTestbed

    files = {"encoder.safetensors": {"sha256": "0" * 64}}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": WEIGHTS_VERSION, "files": files}))
    (tmp_path / "encoder.safetensors").write_bytes(b"damaged")
    monkeypatch.setitem(MiniTestbed.__init__.__kwdefaults__, "weights", tmp_path)
    found = examined("mini", device="cpu")["weights"]
    assert found.level == "FAIL" and "damaged" in found.detail


def test_bounds_are_those_of_the_project(root: Path):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [line for line in project["dependencies"] if any(line.startswith(f"{name}>") for name in doctor.PACKAGES)]
    assert sorted(wanted) == sorted(f"{name}{bounds}" for name, bounds in doctor.PACKAGES.items())
    assert project["requires-python"] == f">={'.'.join(map(str, doctor.PYTHON))}"


def test_repairs_are_those_of_the_documentation(root: Path):
    text = (root / "docs/dependencies.md").read_text()
    assert "pip install --force-reinstall --no-deps onnxruntime-gpu" in text
    assert repairs.REPAIR_ONNXRUNTIME.endswith("pip install --force-reinstall --no-deps onnxruntime-gpu")
    assert set(repairs.REPAIR_LIBRARIES.split()[-2:]) == {"libgl1", "libglib2.0-0"}
    assert all(f"| `{name}` |" in text for name in repairs.REPAIR_LIBRARIES.split()[-2:])

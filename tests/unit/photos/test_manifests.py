"""Photo sets: the frozen rule gives everybody the same people, and trouble with files ends in one line."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from found_faces import Finds, in_frame
from PIL import Image

from guidebench import assets, images
from guidebench.assets.catalogue import named
from guidebench.commands.main import main
from guidebench.errors import BadInput, MissingAsset
from guidebench.evidence import FrechetStatistics
from guidebench.metrics.frechet import frechet_distance
from guidebench.photos import align, manifests, measuring, real_images
from guidebench.photos.faces import ManifestFaces
from guidebench.testbeds.linear import FACE, LinearFeatures, LinearTestbed

# The rule as docs/data.md states it; changing one of these numbers changes whom every lab measures on.
FIRST_OF_FFHQ = [
    *(25605, 25459, 34602, 28536, 52869, 44905, 57314, 28252, 67229, 34726),
    *(57399, 14025, 36084, 11842, 60027, 28144, 14784, 61875, 68386, 38814),
]
PEOPLE = 6000  # of the synthetic CelebA: each owns five images of CelebA-HQ in a row of its own stride


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GUIDEBENCH_ASSETS", raising=False)
    return tmp_path / "home"


def photo(path, level=0, side=256):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (level % 256, level // 256 % 256, 7)).save(path)


@pytest.fixture
def ffhq(tmp_path):
    for index in sum(manifests.ffhq_people().values(), []):
        photo(tmp_path / "ffhq" / f"{index:05d}.png", index)
    return tmp_path / "ffhq"


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    """Annotations of a whole CelebA-HQ; image i is person i modulo 6000, the last person lacks one image."""
    folder = tmp_path_factory.mktemp("celeba")
    owner = {index: index % PEOPLE for index in range(manifests.CELEBAHQ_IMAGES)}
    owner[PEOPLE - 1] = 0
    original = {index: f"{(index * 7) % manifests.CELEBAHQ_IMAGES + 1:06d}.jpg" for index in owner}
    lines = sorted(f"{original[index]} {owner[index] + 1}" for index in owner)
    (folder / "identity_CelebA.txt").write_text("\n".join(lines) + "\n")
    for name, tail in (("image_list.txt", " md5 md5"), ("mapping.txt", "")):
        head = "idx orig_idx orig_file" + (" proc_md5 final_md5" if tail else "")
        rows = [f"{index}   {int(name[:6]) - 1}  {name}{tail}" for index, name in original.items()]
        (folder / name).write_text("\n".join([head, *rows]) + "\n")
    return folder


def scan(*arguments):
    return CliRunner().invoke(main, ["data", "scan", *map(str, arguments)])


def test_the_first_twenty_of_ffhq_are_these():
    assert [index for (index,) in manifests.ffhq_people().values()][:20] == FIRST_OF_FFHQ
    by_hand = sorted(range(70_000), key=lambda i: hashlib.sha256(b"guidebench-ffhq-v1:%d" % i).hexdigest())
    assert [index for (index,) in manifests.ffhq_people().values()] == by_hand[:30]


def test_the_documentation_holds_the_same_vector(root):
    text = (root / "docs/data.md").read_text()
    block = re.search(r"<!-- first twenty of FFHQ -->\n(.*?)\n\n", text, re.DOTALL)
    assert block is not None and [int(number) for number in re.findall(r"\d+", block[1])] == FIRST_OF_FFHQ


def test_identities_with_five_images_are_ordered_by_the_rule_and_their_images_by_index(celeba):
    """Person k owns images k, k + 6000, ...: the order is that of the hash of CelebA's number, k + 1."""
    found = manifests.celebahq_people(celeba / "identity_CelebA.txt", celeba / "image_list.txt")
    allowed = [number for number in range(1, PEOPLE + 1) if number != PEOPLE]  # the last one has four
    by_hand = sorted(allowed, key=lambda n: hashlib.sha256(f"guidebench-celebahq-v1:{n}".encode()).hexdigest())[:30]
    assert list(found) == [f"celeba-{number}" for number in by_hand]
    for number, indices in zip(by_hand, found.values(), strict=True):
        assert indices == [number - 1 + PEOPLE * turn for turn in range(5)]


def test_both_mapping_files_name_the_same_people(celeba):
    identities = celeba / "identity_CelebA.txt"
    first, second = (manifests.celebahq_people(identities, celeba / name) for name in ("image_list.txt", "mapping.txt"))
    assert first == second


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("image_list.txt", lambda text: text[: len(text) // 2].rpartition("\n")[0], ["image_list.txt", "30,000"]),
        ("image_list.txt", lambda text: text.partition("\n")[2], ["image_list.txt", "'idx orig_idx orig_file'"]),
        ("image_list.txt", lambda text: text.replace("\n5 ", "\nfive "), ["image_list.txt:7", "columns"]),
        (
            "identity_CelebA.txt",
            lambda text: text.replace("000001.jpg ", "000001.jpg,"),
            ["identity_CelebA.txt:1", "'000001.jpg 2880'"],
        ),
        (
            "identity_CelebA.txt",
            lambda text: text.partition("\n")[2],
            ["image_list.txt", " 000001.jpg", "identity_CelebA.txt"],
        ),
        (
            "identity_CelebA.txt",
            lambda text: re.sub(r" \d+\n", " 1\n", text),
            ["identity_CelebA.txt", "1 people", "5 images", "30"],
        ),
        ("identity_CelebA.txt", None, ["read", "identity_CelebA.txt"]),
    ],
)
def test_annotations_that_are_not_whole_are_refused(celeba, tmp_path, name, edit, words, says):
    files = {}
    for own in ("identity_CelebA.txt", "image_list.txt"):
        files[own] = tmp_path / own
        text = (celeba / own).read_text()
        if own != name or edit is not None:
            files[own].write_text(edit(text) if own == name else text)
    with pytest.raises(BadInput, match=says(*words)) as caught:
        manifests.celebahq_people(files["identity_CelebA.txt"], files["image_list.txt"])
    assert "\n" not in str(caught.value)


def test_celebahq_is_scanned_with_five_photographs_of_thirty_people(celeba, tmp_path, home):
    people = manifests.celebahq_people(celeba / "identity_CelebA.txt", celeba / "mapping.txt")
    for index in sum(people.values(), []):
        photo(tmp_path / "hq" / f"{index}.png", index)
    options = ("--identities", celeba / "identity_CelebA.txt", "--mapping", celeba / "mapping.txt")
    result = scan("celebahq", tmp_path / "hq", *options)
    assert result.exit_code == 0 and "30 people, 150 photographs" in result.stdout
    first, *_ = ManifestFaces(256, "eg3d").people("celebahq", [0], photos=5)
    assert first.identity == next(iter(people)) and first.photos.shape == (5, 3, 256, 256)
    index = people[first.identity][3]
    assert len(first.files) == 5 and first.files[3] == str((tmp_path / "hq" / f"{index}.png").resolve())
    assert images.to_uint8(first.photos)[3, :, 0, 0].tolist() == [index % 256, index // 256, 7]


def test_a_scan_writes_a_manifest_that_is_shown_and_read_back(ffhq, home):
    result = scan("ffhq", ffhq)
    assert result.exit_code == 0, result.output
    manifest = manifests.read("ffhq")
    assert manifest.digest in result.stdout and len(manifest.people) == 30
    assert [person.identity for person in manifest.people[:2]] == ["ffhq-25605", "ffhq-25459"]
    files = CliRunner().invoke(main, ["data", "show", "ffhq", "--files"]).stdout.split("\n")
    assert files[0] == str(ffhq.resolve() / "25605.png")
    shown = CliRunner().invoke(main, ["data", "show", "ffhq", "--json"]).stdout
    assert manifests.Manifest.from_data(json.loads(shown)) == manifest
    assert "256 px" in CliRunner().invoke(main, ["data", "show", "ffhq"]).stdout


def test_a_scan_of_photographs_that_are_no_crops_says_how_to_go_on(ffhq, home):
    told = scan("ffhq", ffhq).stderr
    assert re.match(r"guidebench: .*\b30 of 30\b.* 512 px", told) and told.count("\n") == 1
    assert "`guidebench align $(guidebench data show ffhq --files) CROPS`" in told
    assert "`guidebench data scan ffhq CROPS`" in told
    for path in ffhq.iterdir():
        Image.new("RGB", (512, 512)).save(path)
    assert scan("ffhq", ffhq).stderr == ""


@pytest.mark.parametrize(("frame", "refused_by"), [("eg3d", "ffhq"), ("ffhq", "eg3d"), (None, None)])
def test_a_scan_sees_the_frame_and_a_generator_of_another_frame_refuses_it(ffhq, home, monkeypatch, frame, refused_by):
    landmarks = in_frame(frame or "eg3d", side=256 if frame else 128)
    monkeypatch.setattr(align, "load_detector", lambda name: Finds(landmarks))
    result = scan("ffhq", ffhq)
    assert f"frame {frame or 'neither'} 30" in result.stdout
    assert ("`guidebench align" in result.stderr) == (frame != "eg3d")
    manifest = manifests.read("ffhq")
    assert manifest.frame == frame and manifest.framed == {frame or "neither": 30}
    for other in ("eg3d", "ffhq"):
        if other == refused_by:
            with pytest.raises(BadInput, match=f"wanted: {other}.*--frame {other}.*data scan ffhq"):
                ManifestFaces(256, other).manifest("ffhq")
        else:
            assert ManifestFaces(256, other).manifest("ffhq") == manifest.digest


def test_without_a_detector_a_manifest_says_that_it_does_not_know_the_frame(ffhq, home):
    assert "frame not looked at" in scan("ffhq", ffhq).stdout
    manifest = manifests.read("ffhq")
    assert manifest.frame is None and ManifestFaces(256, "ffhq").manifest("ffhq") == manifest.digest
    older = {name: value for name, value in manifest.as_data().items() if name != "framed"}
    assert manifests.Manifest.from_data(older) == manifest


def test_the_digest_knows_contents_and_not_places(ffhq, tmp_path):
    """The same files in folders of a thousand, as FFHQ ships them, and under EG3D's names."""
    people = manifests.ffhq_people()
    flat = manifests.scan("ffhq", ffhq, people)
    for index in sum(people.values(), []):
        content = (ffhq / f"{index:05d}.png").read_bytes()
        for place in (f"a/{index // 1000 * 1000:05d}/{index:05d}.png", f"b/{index // 1000:05d}/img{index:08d}.png"):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_bytes(content)
    assert {manifests.scan("ffhq", tmp_path / root, people).digest for root in "ab"} == {flat.digest}
    photo(ffhq / "25605.png", 1)
    assert manifests.scan("ffhq", ffhq, people).digest != flat.digest


def test_missing_photographs_are_named_and_counted(ffhq, home):
    for index in FIRST_OF_FFHQ[:7]:
        (ffhq / f"{index:05d}.png").unlink()
    result = scan("ffhq", ffhq)
    assert result.exit_code == 2 and re.search(r"\b7 of .*\b30\b", result.stderr)
    assert re.search(r"\b25459, 25605, 28536, 34602, 44905 .*\b2\b", result.stderr) and str(ffhq) in result.stderr
    assert not home.exists(), "nothing was written"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: Image.new("CMYK", (256, 256)).save(path, "JPEG"), "CMYK.*RGB"),
        (lambda path: Image.new("RGB", (255, 255)).save(path), "small.*255 x 255"),
        (lambda path: Image.new("RGB", (300, 256)).save(path), "square.*300 x 256.*`guidebench align"),
        (lambda path: path.write_text("hello"), "read"),
        (lambda path: photo(path.with_name("img00025605.png")), "twice"),
    ],
    ids=["cmyk", "tiny", "oblong", "no-image", "twice"],
)
def test_a_photograph_that_cannot_be_taken_is_named_with_the_cure(ffhq, home, make, message):
    make(ffhq / "25605.png")
    result = scan("ffhq", ffhq)
    assert result.exit_code == 2 and re.search(rf"25605.*{message}|{message}.*25605", result.stderr)
    assert result.stderr.count("\n") == 1


def test_an_exif_rotation_is_applied(ffhq, home):
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[:128] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # by 180 degrees
    Image.fromarray(picture).save(ffhq / "25605.png", exif=exif)
    manifests.write(manifests.scan("ffhq", ffhq, manifests.ffhq_people()))
    (person,) = ManifestFaces(256, "eg3d").people("ffhq", [0], photos=1)
    assert person.photos[0, :, :120].max() < -0.9 and person.photos[0, :, 136:].min() > 0.9


def test_without_a_manifest_the_command_that_writes_it_is_named(home):
    for source, command in (("ffhq", "scan ffhq FOLDER`"), ("celebahq", "scan celebahq FOLDER --identities")):
        with pytest.raises(MissingAsset, match=f"guidebench data {command}"):
            ManifestFaces(256, "eg3d").manifest(source)


def test_names_in_upper_case_and_every_format_are_found_and_others_are_named(ffhq, home, says):
    (ffhq / "25605.png").rename(ffhq / "25605.PNG")
    with Image.open(ffhq / "25459.png") as picture:
        picture.save(ffhq / "25459.BMP")
    (ffhq / "25459.png").unlink()
    found = manifests.scan("ffhq", ffhq, manifests.ffhq_people())
    assert [person.photos[0].file for person in found.people[:2]] == ["25605.PNG", "25459.BMP"]
    (ffhq / "34602.png").rename(ffhq / "34602.tif")
    with pytest.raises(BadInput, match=says("image 34602", "34602.tif", ".tif is not read", ".bmp")):
        manifests.scan("ffhq", ffhq, manifests.ffhq_people())


def test_a_known_pair_of_one_person_and_pictures_that_look_alike_are_warned_of(tmp_path, caplog):
    noise = Image.effect_noise((256, 256), 90).resize((16, 16)).resize((256, 256)).convert("RGB")
    for index in (234, 235, 400, 401, 402):
        photo(tmp_path / f"{index}.png", index)
    for index in (400, 402):
        noise.save(tmp_path / f"{index}.png")
    manifests.scan("celebahq", tmp_path, {"celeba-7": [234, 235, 400, 401, 402]})
    known, alike = caplog.messages
    assert "image 00234 and image 00235 of celeba-7" in known and "image 00400 and image 00402" in alike


def test_a_damaged_or_edited_manifest_is_refused(ffhq, home):
    path = manifests.write(manifests.scan("ffhq", ffhq, manifests.ffhq_people()))
    content = path.read_text()
    for damage in (content[:100], "[]", content.replace("ffhq-25605", "ffhq-00001")):
        path.write_text(damage)
        with pytest.raises(BadInput, match=r"ffhq\.json.* damaged.*`guidebench data scan ffhq"):
            manifests.read("ffhq")


def test_a_file_that_changed_since_the_scan_is_refused_by_name(ffhq, home, says):
    manifests.write(manifests.scan("ffhq", ffhq, manifests.ffhq_people()))
    photo(ffhq / "25459.png", 1)
    (ffhq / "34602.png").unlink()
    faces = ManifestFaces(256, "eg3d")
    assert faces.people("ffhq", [0], photos=1)[0].identity == "ffhq-25605"
    with pytest.raises(BadInput, match=says("25459.png", "changed", "`guidebench data scan ffhq")):
        faces.people("ffhq", [1], photos=1)
    with pytest.raises(BadInput, match=says("34602.png", "read", "`guidebench data scan ffhq")):
        faces.people("ffhq", [2], photos=1)
    with pytest.raises(BadInput, match="probe_photos = 0"):
        faces.people("ffhq", [0], photos=2)
    with pytest.raises(BadInput, match=says("'ffhq'", "0 to 29", "[30]")):
        faces.people("ffhq", [30], photos=1)


@pytest.fixture
def real_photographs(tmp_path):
    for index, picture in enumerate(LinearTestbed().faces().people("dev", range(20), photos=8)):
        for place, each in enumerate(picture.photos):
            (tmp_path / "real" / str(index)).mkdir(parents=True, exist_ok=True)
            images.save(each, tmp_path / "real" / str(index) / f"{place}.png")
    return tmp_path / "real"


def test_statistics_of_photographs_are_those_of_their_features_in_any_order(real_photographs):
    source = LinearTestbed().judges().features
    files = measuring.photographs(real_photographs)
    assert len(files) == 160
    found, contents = measuring.of_photographs(files, source, resolution=16)
    tensors = [images.load(path, 16) for path in files]
    wanted = FrechetStatistics.of(np.concatenate([source.features(tensor[None]) for tensor in tensors]))
    assert found.count == 160 and found.mean.dtype == np.float64 and found.covariance.shape == (FACE, FACE)
    assert frechet_distance(found, wanted) <= 1e-9  # the batches' rounding in float32 features
    again, same = measuring.of_photographs(files[::-1], source, resolution=16)
    assert same == contents and frechet_distance(found, again) <= 1e-9


def test_an_interrupted_measurement_resumes(real_photographs, tmp_path, monkeypatch):
    """Parts of 32 photographs; the third call of five is interrupted. A changed photograph is measured again."""
    monkeypatch.setattr(measuring, "_PART", 32)
    source, files, seen = LinearTestbed().judges().features, measuring.photographs(real_photographs), []
    wanted, _ = measuring.of_photographs(files, source, resolution=16)
    computed = measuring._computed

    def counted(part, *arguments):
        seen.append(len(part))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return computed(part, *arguments)

    monkeypatch.setattr(measuring, "_computed", counted)
    with pytest.raises(KeyboardInterrupt):
        measuring.of_photographs(files, source, resolution=16, kept=tmp_path / "kept")
    assert len(seen) == 3
    found, _ = measuring.of_photographs(files, source, resolution=16, kept=tmp_path / "kept")
    assert len(seen) == 6 and np.array_equal(found.mean, wanted.mean)
    images.save(torch.zeros(3, 16, 16), files[0])
    again, _ = measuring.of_photographs(files, source, resolution=16, kept=tmp_path / "kept")
    assert len(seen) == 7 and not np.array_equal(again.mean, wanted.mean)


def test_a_count_picks_photographs_by_the_hash_of_their_names(real_photographs, says):
    names = [path.relative_to(real_photographs).as_posix() for path in measuring.photographs(real_photographs)]
    assert names == sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert measuring.photographs(real_photographs, 9) == measuring.photographs(real_photographs)[:9]
    with pytest.raises(BadInput, match=says("160", "161", "--count", str(real_photographs))):
        measuring.photographs(real_photographs, 161)


def test_the_authors_features_are_installed_as_statistics(tmp_path, home):
    rows = np.random.default_rng(0).normal(size=(5, 2048)).astype(np.float32)
    np.save(tmp_path / "ffhq_real_feat.npy", rows)
    result = CliRunner().invoke(main, ["data", "statistics", "--features", str(tmp_path / "ffhq_real_feat.npy")])
    assert result.exit_code == 0 and re.search(r"\bffhq-real\b.*\b5 photographs", result.stdout), result.output
    statistics, told = real_images.read(assets.find("ffhq-real"), dim=2048)
    assert statistics.count == 5 and np.array_equal(statistics.mean, rows.astype(np.float64).mean(axis=0))
    assert re.search(r"^5 photographs .*ffhq_real_feat\.npy.* features", told)


def test_statistics_of_a_folder_are_described_and_written(real_photographs, tmp_path, home, monkeypatch):
    """A feature extractor of 16 numbers stands in for Inception; its weights' file is any legacy torch file."""
    from guidebench.networks import inception

    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"\x80\x02weights")
    monkeypatch.setattr(assets, "find", lambda asset: weights)
    monkeypatch.setattr(assets, "digest", lambda asset: "ab" * 32)
    monkeypatch.setattr(inception, "feature_source", lambda path, device: LinearTestbed().judges().features)
    monkeypatch.setitem(measuring.TARGETS, "stylegan2-ffhq", ("ffhq-1024-real", 16))
    arguments = ["data", "statistics", str(real_photographs), "--count", "40", "--title", "FFHQ, EG3D's crop"]
    arguments += ["--testbed", "stylegan2-ffhq"]
    result = CliRunner().invoke(main, [*arguments, "--device", "cpu", "--out", str(tmp_path / "new" / "real")])
    assert result.exit_code == 0, result.output
    statistics, told = real_images.read(tmp_path / "new" / "real", dim=FACE)
    assert statistics.count == 40 and isinstance(LinearTestbed().judges().features.extractor, LinearFeatures)
    for part in ("40 photographs", "FFHQ, EG3D's crop", "16 px (bicubic)", "weights abababababab", "contents"):
        assert part in told
    assert not list((home / "cache" / "statistics").iterdir())  # features are kept only until they are measured
    assert not (assets.folder() / named("ffhq-real").file).exists()


def test_what_statistics_are_made_of_is_one_of_two_things(tmp_path, home):
    for arguments in ([], [str(tmp_path), "--features", "x.npy"], ["--features", "x.npy", "--count", "9"]):
        result = CliRunner().invoke(main, ["data", "statistics", *arguments])
        assert result.exit_code == 2 and result.stderr.count("\n") == 1

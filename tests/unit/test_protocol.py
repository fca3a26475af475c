"""Protocol files: the paper's sizes, overlays, digests, and messages that name file, key and what is allowed."""

import pytest

from guidebench import protocol, suites
from guidebench.errors import BadInput
from guidebench.protocol import Protocol


@pytest.mark.parametrize("name", ["random", "ffhq", "celebahq", "celebahq-multi"])
def test_the_papers_sizes_hold_without_an_overlay(name):
    """20 identities, 11 views over ±15°, pitch -0.2, 5,000 samples (GUIDE, released evaluation)."""
    paper = protocol.load(name).resolve("eg3d-ffhq")
    assert (paper.identities, paper.views, paper.yaw_deg, paper.pitch, paper.samples) == (20, 11, 15.0, -0.2, 5000)
    assert paper.probe_photos == (4 if name == "celebahq-multi" else 0)


def test_command_line_beats_overlay_beats_base():
    file = protocol.parse(
        'source = "a"\nidentities = 9\nsamples = 90\nviews = 5\n[on.mini]\nsamples = 70\nviews = 3',
        origin="x",
        default_name="x",
    )
    resolved = file.resolve("mini", views=1, seeds=None)
    assert (resolved.identities, resolved.samples, resolved.views, resolved.seeds) == (9, 70, 1, (0,))
    assert file.resolve("other").samples == 90


def test_the_digest_tells_measurements_apart_but_not_how_many():
    base = protocol.load("smoke").resolve("mini")
    file = protocol.load("smoke")
    assert file.resolve("mini", identities=5, seeds=(0, 1)).digest() == base.digest()
    assert file.resolve("mini", samples=299).digest() != base.digest()
    assert file.resolve("mini", conventions="published").digest() != base.digest()


def test_protocols_of_one_run_agree_on_conventions(says):
    asked = [protocol.load(name).resolve("mini", conventions="published") for name in ("random", "ffhq")]
    assert protocol.common_conventions(asked) == "published"
    asked.append(protocol.load("celebahq").resolve("mini"))
    with pytest.raises(BadInput, match=says("celebahq", "corrected", "ffhq", "published", "give conventions for all")):
        protocol.common_conventions(asked)


def test_a_protocol_survives_a_record():
    resolved = protocol.load("random").resolve("mini", seeds=(0, 3))
    assert Protocol.from_data(resolved.as_data()) == resolved


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source = ", ["mine.toml", "TOML"]),
        ('source = "a"\nidentites = 3', ["mine.toml", "'identites'", "'identities'"]),
        ('source = "a"\nidentities = "3"', ["mine.toml", "identities = '3'", "integer"]),
        ('source = "a"', ["mine.toml", "'identities'", "missing"]),
        ('source = "a"\nidentities = 3\n[on.mini]\nsample = 3', ["on.mini.sample", "'samples'"]),
        ('source = "a"\nidentities = 3\non = 4', ["mine.toml", "[on.mini]"]),
        ('source = "a"\nidentities = 3\n[on.minii]\nsamples = 3', ["[on.minii]", "[on.mini]"]),
        ('source = "a"\nidentities = 3\nyaw_deg = 1' + "0" * 300, ["yaw_deg", "number"]),
        ('source = "a"\nidentities = true', ["identities = True", "integer"]),
        ('source = "a"\nidentities = 3\nprimary = "id"', ["primary = 'id'", "list of texts"]),
        ('source = "a"\nidentities = 3\nprimary = [1]', ["primary = [1]", "list of texts"]),
        ('source = "a"\nidentities = 3\nattacks = "perturb"', ["attacks = 'perturb'", "list of texts"]),
        ('source = "a"\nidentities = 3\nattacks = [1]', ["attacks = [1]", "list of texts"]),
        ('source = "a"\nidentities = 3\nseeds = ["0"]', ["seeds = ['0']", "list of integers"]),
    ],
)
def test_malformed_files_are_answered_with_file_key_and_what_is_allowed(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        protocol.load(str(path))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist; correct the path"), ("folder", "directory; correct"), (b"\xff", "save it as UTF-8")],
)
@pytest.mark.parametrize("load", [protocol.load, suites.load], ids=["protocol", "suite"])
def test_a_file_that_cannot_be_read_is_named_once_with_what_to_do(tmp_path, load, content, words):
    path = tmp_path / "mine.toml"
    if content == "folder":
        path.mkdir()
    elif content:
        path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load(str(path))
    assert str(caught.value).count(str(path)) == 1 and words in str(caught.value)


def test_a_byte_order_mark_changes_nothing(tmp_path):
    """Windows editors write one."""
    for name, start in (("plain", ""), ("marked", "\ufeff")):
        text = f'{start}name = "mine"\r\nsource = "random"\r\nidentities = 3\r\n'
        (tmp_path / f"{name}.toml").write_bytes(text.encode())
    plain, marked = (protocol.load(str(tmp_path / f"{name}.toml")).resolve("mini") for name in ("plain", "marked"))
    assert marked.digest() == plain.digest()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"identities": 0}, ["identities = 0", "1 to"]),
        ({"samples": 1}, ["samples = 1", "2 to"]),
        ({"seeds": ()}, ["seeds = ()", "0 to 4294967295"]),
        ({"seeds": (1, 1)}, ["seeds = (1, 1)", "different"]),
        ({"seeds": (2**64,)}, [f"seeds = ({2**64},)", "0 to 4294967295"]),
        ({"identities": 10**9}, [f"identities = {10**9}", "1 to"]),
        ({"primary": ("id", "id")}, ["primary = ('id', 'id')", "different"]),
        ({"attacks": ("perturb", "perturb")}, ["attacks = ('perturb', 'perturb')", "different"]),
        ({"conventions": "mine"}, ["conventions = 'mine'", "corrected, published"]),
    ],
)
def test_values_out_of_range_are_refused(override, words, says):
    with pytest.raises(BadInput, match=says("smoke", *words)):
        protocol.load("smoke").resolve("mini", **override)


def test_a_random_source_has_no_probe_photos(says):
    file = protocol.parse('source = "random"\nidentities = 1\nprobe_photos = 1', origin="x", default_name="x")
    with pytest.raises(BadInput, match=says("probe_photos = 1", "random")):
        file.resolve("mini")


def test_unknown_names_get_the_closest_match(says):
    with pytest.raises(BadInput, match=says("'celebahq_multi'", "'celebahq-multi'")):
        protocol.load("celebahq_multi")


def test_what_is_tested_decides_no_number_of_a_trial():
    text = 'source = "ffhq"\nidentities = 3\n'
    usual = protocol.parse(text, origin="x", default_name="x").resolve("mini")
    chosen = protocol.parse(f'{text}primary = ["id", "fid_pre"]', origin="x", default_name="x").resolve("mini")
    assert usual.primary == protocol.PRIMARY and chosen.primary == ("id", "fid_pre")
    assert usual.digest() == chosen.digest()
    assert Protocol.from_data(chosen.as_data()) == chosen


SEVERAL = ["celebahq-simultaneous", "celebahq-sequential", "random-simultaneous", "random-sequential"]


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("testbed", ["mini", "linear", "eg3d-ffhq"])
def test_protocols_of_several_people_forget_five_in_disjoint_groups(name, testbed):
    found = protocol.load(name).resolve(testbed)
    assert (found.forget, found.requests) == ((5, 1) if "simultaneous" in name else (1, 5))
    assert found.trials == (3 if testbed == "linear" else 10)
    assert found.retain_named > 0 and found.retain > 0


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("celebahq-simultaneous", {"forget": 20}, ("celebahq-simultaneous-20", 200, 20, 1)),
        ("celebahq-simultaneous", {"forget": 20, "identities": 40}, ("celebahq-simultaneous-20", 40, 20, 1)),
        ("celebahq-simultaneous-50", {}, ("celebahq-simultaneous-50", 500, 50, 1)),
        ("celebahq-simultaneous-1", {}, ("celebahq-simultaneous-1", 10, 1, 1)),
        ("celebahq-simultaneous-5", {}, ("celebahq-simultaneous", 50, 5, 1)),
        ("celebahq-sequential", {"requests": 10}, ("celebahq-sequential-10x1", 100, 1, 10)),
        ("celebahq-sequential-10x1", {}, ("celebahq-sequential-10x1", 100, 1, 10)),
        ("random-sequential", {"forget": 2}, ("random-sequential-5x2", 100, 2, 5)),
        ("celebahq-multi", {"forget": 2}, ("celebahq-multi-2", 20, 2, 1)),
        ("celebahq-multi", {"forget": 1, "requests": 1}, ("celebahq-multi", 10, 1, 1)),
    ],
)
def test_groups_of_another_size_are_a_protocol_of_their_own(name, given, expected):
    """As many groups as before; the name says the size, so that sizes are columns of one table."""
    found = protocol.load(name).resolve("mini", **given)
    assert (found.name, found.identities, found.forget, found.requests) == expected
    usual = protocol.load(name.rstrip("0123456789x").rstrip("-")).resolve("mini")
    assert (found.digest() == usual.digest()) == (found.name == usual.name)


@pytest.mark.parametrize("name", ["celebahq-simultaneos-5", "nobody-5", "celebahq-simultaneous-0"])
def test_a_size_of_no_protocol_is_refused(name):
    with pytest.raises(BadInput, match=name.removesuffix("-0")):
        protocol.load(name).resolve("mini")

"""Suite files: the paper's tables, sizes on a testbed, labels as recorded, and messages that name what is wrong."""

import dataclasses
import re
import subprocess
import sys

import pytest

from guidebench import suites
from guidebench.errors import BadInput
from guidebench.reporting import published
from guidebench.suites import Suite

ROWS = 'protocols = ["smoke"]\nmetrics = ["id"]\nrows = [{ method = "guide" }]\n'


def parse(text):
    return suites.parse(text, origin="mine.toml", name="mine")


PAPERS = ("table-1", "table-2", "table-3", "table-4", "figure-9")
FIGURES = [name for name in suites.names() if name.startswith("figure-")]


@pytest.mark.parametrize("name", PAPERS[:4])
def test_a_suite_has_the_rows_and_protocols_of_the_published_table(name):
    """The published numbers were entered from the paper by themselves: rows by title, columns by protocol, metric."""
    (claimed,) = [table for table in published.load() if table.name == name.replace("table", "guide")]
    suite = suites.load(name).resolve("eg3d-ffhq")
    assert [row.title for row in suite.rows] == list(dict.fromkeys(row.row for row in claimed.rows))
    assert [protocol.name for protocol in suite.protocols] == list(dict.fromkeys(row.protocol for row in claimed.rows))
    assert set(suite.metrics) == {metric for row in claimed.rows for metric in row.claims}
    printed = next(iter(claimed.rows[0].claims.values())).printed
    assert suite.digits == min(suites.MOST_DIGITS, len(printed.split()[0].partition(".")[2]))
    methods = {row.row: row.method for row in claimed.rows}
    assert [methods[row.title].partition(" + ")[0] for row in suite.rows] == [row.method for row in suite.rows]


def test_sizes_are_the_papers_but_for_more_seeds_on_mini():
    """20 identities a scenario and seed 0; a trial on mini takes seconds, so Table 2 repeats it there."""
    for name in PAPERS:
        for protocol in suites.load(name).resolve("eg3d-ffhq").protocols:
            assert (protocol.identities, protocol.seeds) == (20, (0,))
        for protocol in suites.load(name).resolve("mini").protocols:
            assert protocol.identities == 10
            assert protocol.seeds == ((0, 1, 2) if name == "table-2" else (0,))


def test_figures_have_the_protocols_own_people_and_one_seed():
    """Those of the tables, so that a figure shows trials that a table has."""
    for name in FIGURES:
        for testbed, people in (("eg3d-ffhq", 20), ("mini", 10)):
            for protocol in suites.load(name).resolve(testbed).protocols:
                assert protocol.trials == (people if protocol.people == 1 else 10) and protocol.seeds == (0,)


def test_figures_ask_for_what_they_need():
    """And their files are called like what they draw."""
    asked = {name: suites.load(name).resolve("mini") for name in FIGURES}
    assert {name: name in (suite.figure, f"figure-{suite.figure}") for name, suite in asked.items()} == dict.fromkeys(
        FIGURES, True
    )
    assert [name for name, suite in asked.items() if suite.keep_generators] == [
        *("figure-6", "figure-7", "figure-8", "figure-relearning")
    ]
    assert {name: suite.every for name, suite in asked.items() if suite.every} == {"figure-forgetting": 5}
    assert suites.load("figure-forgetting").resolve("eg3d-ffhq").every == 50
    assert suites.load("figure-forgetting").resolve("mini", every=2).every == 2
    assert {name: suite.attacks for name, suite in asked.items() if suite.attacks} == {
        "figure-relearning": ("relearn",)
    }


def test_suites_of_no_paper_have_twenty_people_or_ten_groups_of_five():
    for name in {*suites.names()} - {*PAPERS, *FIGURES}:
        for testbed in ("eg3d-ffhq", "mini"):
            for protocol in suites.load(name).resolve(testbed).protocols:
                assert protocol.trials == (20 if protocol.people == 1 else 10) and protocol.seeds == (0,)


def test_table_3_changes_the_range_of_the_baselines_adjacency_loss_only():
    suite = suites.load("table-3").resolve("mini")
    built = [entrant.method for entrant in suite.entrants]
    assert [method.target_kind for method in built] == ["mean"] * 5
    assert [method.adjacency_loss for method in built] == [False, True, True, True, True]
    assert [method.alpha_max for method in built[1:]] == [10.0, 15.0, 20.0, 30.0]
    assert {method.global_loss for method in built} == {False}
    assert built[0] == suites.load("table-2").resolve("mini").entrants[0].method


def test_figure_9_changes_the_distance_of_the_target_only():
    built = [entrant.method for entrant in suites.load("figure-9").resolve("mini").entrants]
    assert [method.target_distance for method in built] == [-30.0, 0.0, 15.0, 30.0, 45.0, 60.0]
    assert built[3] == suites.load("table-2").resolve("mini").entrants[3].method
    assert {dataclasses.replace(method, target_distance=30.0) for method in built} == {built[3]}


def test_table_4_adds_the_global_loss_to_the_baseline():
    first, second = (entrant.method for entrant in suites.load("table-4").resolve("mini").entrants)
    assert (first.global_loss, second.global_loss) == (False, True)
    assert (second.adjacency_loss, second.target_kind) == (False, "mean")


def test_the_layout_names_rows_by_the_label_of_their_records():
    table = suites.load("table-4").resolve("mini").table
    assert table.rows == (("mean-latent", "local loss"), ("mean-latent(global_loss=True)", "+ global loss"))
    assert (table.protocols, table.metrics) == (("celebahq",), ("fid_pre", "delta_fid_real"))
    assert suites.load("table-4").resolve("mini").against_label == "mean-latent"


def test_command_line_beats_overlay_beats_suite_beats_protocol():
    file = parse(ROWS + "seeds = [1]\nidentities = 4\n[on.mini]\nidentities = 3\n")
    sizes = {
        testbed: [(protocol.identities, protocol.seeds) for protocol in file.resolve(testbed).protocols]
        for testbed in ("mini", "linear")
    }
    assert sizes == {"mini": [(3, (1,))], "linear": [(4, (1,))]}
    (given,) = file.resolve("mini", identities=2, seeds=(5, 6), samples=None).protocols
    assert (given.identities, given.seeds, given.samples) == (2, (5, 6), 300)


def test_files_that_a_suite_names_are_beside_it(tmp_path):
    (tmp_path / "few.toml").write_text('source = "celebahq"\nidentities = 1\n')
    path = tmp_path / "mine.toml"
    path.write_text('protocols = ["few.toml"]\nmetrics = ["id"]\nrows = [{ title = "M", method = "./own.py:Mine" }]')
    file = suites.load(str(path))
    assert file.protocols[0].name == "few"
    assert file.rows[0].method == f"{tmp_path / 'own.py'}:Mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows = ", ["TOML"]),
        (ROWS.replace("metrics", "metric"), ["'metric'", "'metrics'"]),
        (ROWS.replace('["id"]', '"id"'), ["metrics = 'id'", "list"]),
        (ROWS.replace('"id"', '"idd"'), ["metric 'idd'", "`guidebench list metrics`", "'id'"]),
        (ROWS.replace('["id"]', "[]"), ["'metrics'", "empty"]),
        (ROWS.replace('"id"', '"id", "id"'), ["metrics", "'id'", "once"]),
        (ROWS.replace('"smoke"', '"smok"'), ["protocol 'smok'", "'smoke'"]),
        (ROWS.replace('"smoke"', '"smoke", "smoke"'), ["protocols", "'smoke'", "once"]),
        (ROWS.replace('"smoke"', "3"), ["protocols", "3", "text"]),
        (ROWS.replace('"guide"', '"gide"'), ["row 1", "method 'gide'", "'guide'"]),
        (ROWS.replace("method", "methods"), ["row 1", "'methods'", "'method'"]),
        (ROWS.replace('method = "guide"', 'title = "A"'), ["row 1", "'method'", "missing"]),
        (ROWS.replace("{ method", "3, { method"), ["row 1", "3", "table"]),
        (ROWS.replace('{ method = "guide" }', '{ method = "guide" }, { method = "guide" }'), ["title 'guide'", "once"]),
        (ROWS.replace(' = "guide"', ' = "guide", set = { lr = [1] }'), ["row 1", "set.lr", "number"]),
        (ROWS + 'against = "baseline"\n', ["against = 'baseline'", "guide"]),
        (ROWS + "digits = 4\n", ["digits = 4", "0 to 3"]),
        (ROWS + "every = 0\n", ["every = 0", "1 or more"]),
        (ROWS + "[on.mini]\nevery = true\n", ["on.mini.every = True", "integer"]),
        (ROWS + "keep_generators = 1\n", ["keep_generators = 1", "true or false"]),
        (ROWS + 'figure = "tradeof"\n', ["'tradeof'", "'tradeoff'"]),
        (ROWS + 'attacks = ["relear"]\n', ["'relear'", "'relearn'"]),
        (ROWS + "seeds = [0.5]\n", ["seeds", "0.5", "integer"]),
        (ROWS + "identities = true\n", ["identities = True", "integer"]),
        (ROWS + "[on.mini]\nmetrics = []\n", ["'on.mini.metrics'", "seeds, identities, every"]),
        (ROWS + "[on.minii]\nseeds = [0]\n", ["[on.minii]", "[on.mini]"]),
        (ROWS + "on = 3\n", ["[on.mini]"]),
    ],
)
def test_malformed_suites_are_answered_with_file_key_and_what_is_allowed(text, words):
    with pytest.raises(BadInput) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("mine.toml") and "\n" not in message
    assert [word for word in words if word not in message] == []


def test_the_documentation_explains_every_key_and_its_example_is_a_suite(root):
    page = (root / "docs/reproduce.md").read_text()
    table = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    keys = [key for key in Suite.__annotations__ if key not in ("name", "testbed")]
    assert [key for key in (*keys, "seeds", "identities") if f"`{key}`" not in table] == []
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert [row.title for row in parse(example).rows] == ["d = 15", "d = 30", "mine"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("lrr = 1", ["field 'lrr'", "'lr'"]),
        ('steps = "many"', ["steps=many", "integer"]),
        ("lr = -1", ["lr=-1", "between"]),
    ],
)
def test_settings_that_do_not_fit_are_answered_with_suite_and_row(settings, words):
    suite = parse(ROWS.replace("method", f"set = {{ {settings} }}, title = 'A', method")).resolve("linear")
    with pytest.raises(BadInput) as caught:
        _ = suite.entrants
    assert [word for word in ["mine", "'A'", *words] if word not in str(caught.value)] == []


@pytest.mark.parametrize("arguments", [["list", "suites"], ["show", "table-3"], ["reproduce", "--help"]], ids=" ".join)
def test_reading_suites_loads_no_torch(arguments):
    code = (
        "import sys, guidebench.commands.main\n"
        f"try: guidebench.commands.main.main({arguments!r})\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_suite_may_name_groups_of_several_sizes():
    text = ROWS.replace('["smoke"]', '["celebahq-simultaneous", "celebahq-simultaneous-20"]')
    found = parse(text).resolve("mini").protocols
    assert [(protocol.name, protocol.forget) for protocol in found] == [
        ("celebahq-simultaneous", 5),
        ("celebahq-simultaneous-20", 20),
    ]

"""`--set FIELD=VALUE`: any text for any field of every method that ships."""

from __future__ import annotations

from click.testing import CliRunner
from damage import NUMBERS, TEXT, answers, cases, check_message
from hypothesis import given
from hypothesis import strategies as some

from guidebench import registry
from guidebench.commands.main import main
from guidebench.settings import field_names, labelled, with_settings
from guidebench.store.folders import slug

METHODS = [registry.METHOD.load(name) for name in registry.methods()]
FIELDS = [(method, name) for method in METHODS for name in field_names(method)]
WORDS = NUMBERS.map(str) | TEXT | some.sampled_from(["true", "False", "1_0", " 3", "0x10", "1e-3", "None", "(1,)"])


@cases(1900)
@given(field=some.sampled_from(FIELDS), text=WORDS)
def test_any_text_for_any_field(field, text):
    method, name = field
    with answers():
        changed = with_settings(method, {name: text})
        assert slug(labelled(changed, [name]))


@cases(100)
@given(
    text=some.tuples(TEXT | some.sampled_from(["lr", "steps", "alpha_max"]), some.sampled_from(["=", "", "=="]), WORDS)
)
def test_any_text_on_the_command_line(text):
    """With a protocol that does not exist, so that nothing runs."""
    words = ["run", "--method", "guide", "--protocol", "smokee", "--testbed", "linear", "--set", "".join(text)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and result.stderr.endswith("\n")
    check_message(result.stderr[:-1])
    assert "internal error" not in result.stderr

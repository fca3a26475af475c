"""`guidebench new method NAME`, `new attack NAME` and `new metric NAME`: a working, commented file to start from."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click

from guidebench import registry
from guidebench.commands import common
from guidebench.errors import BadInput, StorageError
from guidebench.plugins import Kind


@dataclass(frozen=True)
class Written:
    """What was written."""

    path: Path
    attribute: str  # what the file defines: the method's class, the metric

    @property
    def spec(self) -> str:
        """What the command line calls it: path/to/file.py:Name."""
        return f"{self.path}:{self.attribute}"


def new_method(name: str, folder: str | Path = ".") -> Written:
    """Writes ``folder``/name.py with a class of the name in capitals: "my-idea" gives my_idea.py with MyIdea.

    Raises BadInput if the name cannot name a method or the file exists, StorageError if it cannot be written.
    """
    return _new_class(registry.METHOD, name, folder)


def new_attack(name: str, folder: str | Path = ".") -> Written:
    """Writes ``folder``/name.py with an attack: "my-idea" gives my_idea.py with MyIdea. Raises as `new_method`."""
    return _new_class(registry.ATTACK, name, folder)


def _new_class(kind: Kind[Any], name: str, folder: str | Path) -> Written:
    words = _words(kind, name)
    class_name = "".join(word[0].upper() + word[1:] for word in words)
    if keyword.iskeyword(class_name):
        class_name += kind.name.capitalize()
    return _write(kind, name, words, class_name, Path(folder), {"class": class_name})


def new_metric(name: str, folder: str | Path = ".") -> Written:
    """Writes ``folder``/name.py with a metric of the name in capitals: "my-idea" gives my_idea.py with MY_IDEA.

    Raises as `new_method`.
    """
    words = _words(registry.METRIC, name)
    constant = "_".join(words).upper()
    if constant in ("NAME", "COVERAGE"):  # of the template
        constant += "_METRIC"
    title = " ".join(words).capitalize()
    return _write(registry.METRIC, name, words, constant, Path(folder), {"constant": constant, "title": title})


def _words(kind: Kind[Any], name: str) -> list[str]:
    """The words of a name. Raises BadInput if it cannot name a plug-in of this kind, or one is called so already."""
    if keyword.iskeyword(name):
        raise BadInput(f"'{name}' is a Python keyword; use other words, such as my-{name}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name):
        raise BadInput(f"'{name}' is not a valid {kind.name} name; use words of letters and digits, such as my-idea")
    if name in kind.entries():
        raise BadInput(f"{kind.name} '{name}' already exists; choose another name (`{kind.list_command}` shows all)")
    return re.split(r"[-_]", name)


def _write(
    kind: Kind[Any], name: str, words: list[str], attribute: str, folder: Path, fields: dict[str, str]
) -> Written:
    """Fills the template of a kind in. Raises BadInput if the file exists, StorageError if it cannot be written."""
    module = "_".join(words).lower()
    path = folder / f"{module}.py"
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, not a folder; choose another folder")
    template = (resources.files("guidebench.commands") / f"{kind.name}_template.txt").read_text(encoding="utf-8")
    text = template.format(name=name, file=path.name, module=module, **fields)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{path} already exists and was not changed; choose another name or folder") from None
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; choose another folder") from None
    return Written(path, attribute)


@click.group()
def new() -> None:
    """Write a method, an attack or a metric to start from."""


_folder = click.option("--folder", type=common.PATH, default=".", show_default=True, help="Where to write it.")


@new.command("method")
@click.argument("name")
@_folder
def _new_method(name: str, folder: Path) -> None:
    """Write a working, commented method that passes `guidebench check`."""
    _say(new_method(name, folder))


@new.command("attack")
@click.argument("name")
@_folder
def _new_attack(name: str, folder: Path) -> None:
    """Write a working, commented attack that passes `guidebench check`."""
    _say(new_attack(name, folder))


@new.command("metric")
@click.argument("name")
@_folder
def _new_metric(name: str, folder: Path) -> None:
    """Write a working, commented metric that passes `guidebench check`."""
    _say(new_metric(name, folder))


def _say(written: Written) -> None:
    click.echo(f"wrote {written.path}; now: guidebench check {written.spec}")

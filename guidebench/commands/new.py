"""`guidebench new method NAME`: a working, commented method file to start from."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click

from guidebench import registry
from guidebench.commands import common
from guidebench.errors import BadInput, StorageError


@dataclass(frozen=True)
class NewMethod:
    """What was written."""

    path: Path
    class_name: str

    @property
    def spec(self) -> str:
        """What the command line calls it: path/to/file.py:Class."""
        return f"{self.path}:{self.class_name}"


def new_method(name: str, folder: str | Path = ".") -> NewMethod:
    """Writes ``folder``/name.py with a class of the name in capitals: "my-idea" gives my_idea.py with MyIdea.

    Raises BadInput if the name cannot name a method or the file exists, StorageError if it cannot be written.
    """
    words = re.split(r"[-_]", name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name) or keyword.iskeyword(name):
        raise BadInput(f"'{name}' is not a valid method name; use words of letters and digits, such as my-idea")
    if name in registry.methods():
        raise BadInput(f"method '{name}' already exists; choose another name (`guidebench list methods` shows all)")
    class_name = "".join(word[0].upper() + word[1:] for word in words)
    if keyword.iskeyword(class_name):
        class_name += "Method"
    module = "_".join(words).lower()
    path = Path(folder) / f"{module}.py"
    template = (resources.files("guidebench.commands") / "method_template.txt").read_text(encoding="utf-8")
    text = template.format(name=name, file=path.name, module=module, **{"class": class_name})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{path} already exists and was not changed; choose another name or folder") from None
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; choose another folder") from None
    return NewMethod(path, class_name)


@click.group()
def new() -> None:
    """Write a file to start from."""


@new.command("method")
@click.argument("name")
@click.option("--folder", type=common.PATH, default=".", show_default=True, help="Where to write it.")
def _new_method(name: str, folder: Path) -> None:
    """Write a working, commented method that passes `guidebench check`."""
    written = new_method(name, folder)
    click.echo(f"wrote {written.path}; now: guidebench check {written.spec}")

"""The reference: a page per public module, from its docstrings, and one of all commands, from their options."""

from __future__ import annotations

import importlib
import inspect

import click

from guidebench.commands.main import SECTIONS, main

# The public interface by what it is for. Everything else may change without a word in the changelog.
API = {
    "Run and read": ["guidebench"],
    "What a plug-in is": [
        "guidebench.unlearner",
        "guidebench.attack",
        "guidebench.metric",
        "guidebench.evidence",
        "guidebench.testbed",
        "guidebench.settings",
    ],
    "What is asked": ["guidebench.protocol", "guidebench.suites"],
    "What plug-ins build with": [
        "guidebench.noise",
        "guidebench.seeds",
        "guidebench.cameras",
        "guidebench.views",
        "guidebench.images",
        "guidebench.losses",
        "guidebench.digest",
        "guidebench.errors",
    ],
    "How plug-ins are found": ["guidebench.registry", "guidebench.plugins", "guidebench.sources"],
    "Records": [
        "guidebench.store.record",
        "guidebench.store.folders",
        "guidebench.store.evidence_files",
        "guidebench.reporting.scores",
    ],
    "Arithmetic": [
        "guidebench.metrics.identity",
        "guidebench.metrics.recognition",
        "guidebench.metrics.frechet",
        "guidebench.metrics.samples",
        "guidebench.reporting.statistics",
    ],
}
_WIDTH = 88  # characters of a line of help


def pages() -> dict[str, str]:
    """Every page as Markdown, by its path in docs/generated/."""
    modules = {f"api/{module}.md": _module_page(module) for group in API.values() for module in group}
    return {"commands.md": _commands(), "api/index.md": _index(), **modules}


def _index() -> str:
    groups = []
    for title, modules in API.items():
        rows = "\n".join(f"- [`{module}`]({module}.md): {_first_line(module)}" for module in modules)
        groups.append(f"## {title}\n\n{rows}\n")
    listed = "\n".join(module for modules in API.values() for module in modules)
    return (
        "# Python\n\nThe public interface, made from the code's own docstrings. The [tutorial](../../tutorial.md) uses "
        f"most of it.\n\n{chr(10).join(groups)}\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def _first_line(module: str) -> str:
    text = (inspect.getdoc(importlib.import_module(module)) or "").split("\n\n")[0]
    return " ".join(text.removeprefix(f"{module}: ").replace("``", "`").split())


def _module_page(module: str) -> str:
    if module == "guidebench":
        own = ["run", "reproduce", "evaluate", "records"]
        content = "".join(f".. autofunction:: guidebench.{name}\n" for name in own) + ".. autoclass:: guidebench.Result"
        others = [
            f"[`{name}`]({_home(name)}.md)"
            for name in importlib.import_module(module).__all__
            if name not in (*own, "Result", "__version__")
        ]
        intro = (
            "What most programs need is imported from `guidebench` itself. Nothing heavy is loaded before it is used. "
            f"Of other modules, it also holds {', '.join(others)}."
        )
    else:
        content, intro = f".. automodule:: {module}", ""
    return f"# {module}\n\n{intro}\n\n```{{eval-rst}}\n{content}\n```\n"


def _home(name: str) -> str:
    return str(getattr(importlib.import_module("guidebench"), name).__module__)


def _commands() -> str:
    parts = [
        "# Commands",
        "What every command takes, as `guidebench COMMAND --help` prints it. Results go to stdout, progress to stderr. "
        "Exit codes: 0 all measured; 1 finished with failed trials, or `check` found something; 2 bad input or missing "
        "files; 130 interrupted.",
    ]
    with click.Context(main, info_name="guidebench") as context:
        for section, names in SECTIONS.items():
            parts.append(f"## {section}")
            for name in names:
                command = main.get_command(context, name)
                assert command is not None
                parts += _help_of(command, name, context)
    return "\n\n".join(parts) + "\n"


def _help_of(command: click.Command, name: str, parent: click.Context) -> list[str]:
    width = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    with click.Context(command, info_name=name, parent=parent, **width) as context:
        level = "###" if parent.parent is None else "####"
        found = [f"{level} {context.command_path}", f"```text\n{command.get_help(context)}\n```"]
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found_inner = command.get_command(context, inner)
                assert found_inner is not None
                found += _help_of(found_inner, inner, context)
        return found

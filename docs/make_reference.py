"""Write reference.md: every public name and every command, from their own docstrings and options.

Run it anywhere after a change of either: ``python docs/make_reference.py``.
"""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import Any

import typer

import bayes_mesa as bm

PAGE = Path(__file__).with_name("reference.md")
HEAD = """\
# Reference

Every public name of `import bayes_mesa as bm`, and every command. `docs/make_reference.py` \
writes this page from the code. `help(bm.fit)` and so on has the parameters with shapes and units, \
what is returned and raised, and the equations. Figures and files of a result: \
[results.md](results.md).
"""


def reference() -> str:
    """The page."""
    parts = [HEAD, "## Python\n", *map(of_name, bm.__all__), "## Commands\n", EXIT]
    parts += [of_command(name, command) for name, command in commands().items()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


EXIT = """\
`bayes-mesa run --help` and so on say the same, with examples. MODEL is the name of a shipped \
model, or a path: anything with a separator or ending in `.toml`. Exit status: 0 done, 2 the input \
is wrong, 1 our fault, 130 interrupted.
"""


def of_name(name: str) -> str:
    """One public name: its signature, and the first sentence of its docstring."""
    found = getattr(bm, name)
    said = first_paragraph(inspect.getdoc(found) or "")
    if inspect.isclass(found):
        bases = ", ".join(base.__name__ for base in found.__bases__)
        return f"### `bm.{name}`\n\nA kind of `{bases}`. {said}"
    return f"### `bm.{name}`\n\n```text\n{signature(name, found)}\n```\n\n{said}"


def signature(name: str, function: Any) -> str:
    """The signature in one line where it fits, else with one parameter a line."""
    parts: list[str] = []
    keyword_only = False
    found = inspect.signature(function)
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        text = f"{star}{parameter.name}: {of_type(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        parts.append(text)
    end = f") -> {of_type(found.return_annotation)}"
    line = f"bm.{name}({', '.join(parts)}{end}"
    if len(line) <= 90:
        return line
    inner = "".join(f"    {part},\n" for part in parts)
    return f"bm.{name}(\n{inner}{end}"


def of_type(annotation: Any) -> str:
    """An annotation as it is written in the code."""
    if isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__name__", str(annotation))


def first_paragraph(text: str) -> str:
    """The first paragraph of a docstring, in one line, with Markdown's code marks."""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`")


def commands() -> dict[str, Any]:
    """Every command, in the order of the help."""
    from bayes_mesa.interface.cli import app

    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def of_command(name: str, command: Any) -> str:
    """One command: how it is called, what it does, its options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = " ".join([f"bayes-mesa {name}", *map(of_argument, arguments)])
    rows = "".join(of_option(option) for option in options)
    table = f"\n\n| option | | default |\n|---|---|---|\n{rows}" if rows else ""
    said = first_paragraph(inspect.cleandoc(command.help or ""))
    return f"### `{words}`\n\n{said}{table}"


def of_argument(argument: Any) -> str:
    """An argument's name for the reader."""
    name = argument.metavar or argument.name.upper()
    return f"{name}..." if argument.nargs == -1 and "..." not in name else name


def of_option(option: Any) -> str:
    """One row of a command's table of options."""
    default = option.default
    shown = "required" if option.required else ""
    if not option.required and default is not None and not isinstance(default, bool):
        shown = f"`{getattr(default, 'value', default)}`"
    value = "" if option.is_flag else f" {option.metavar or value_of(option)}"
    said = (option.help or "").replace("|", "\\|")
    return f"| `{'`, `'.join(option.opts)}{value}` | {said} | {shown} |\n"


def value_of(option: Any) -> str:
    """What stands for an option's value: its kind in capitals, or its choices."""
    kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return "/".join(str(choice.value) for choice in kind)
    return {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}.get(kind, "VALUE")  # type: ignore[arg-type]


if __name__ == "__main__":
    PAGE.write_text(reference())
    print(f"wrote {PAGE}")

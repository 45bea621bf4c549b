"""The pages of README.md and docs/ taken apart into blocks of code, and what runs them.

A page says how its blocks are to be run in HTML comments, which a reader does not see:

``<!-- test: into MODEL [without PATH] as FILE -->``  the TOML below is merged into that model file
``<!-- test: write FILE -->``         the block below is the content of that file
``<!-- test: output -->``             what stands above printed the text below, with all draws
``<!-- test: output always -->``      ... and with few draws too: nothing is drawn for it
``<!-- test: exit 2 -->``             the commands below end with that status
``<!-- test: not run: REASON -->``    the block below is only read
``<!-- test: sh ... -->``, ``<!-- test: python ... -->``  run here, hidden
``<!-- test: slow -->``               the block below is run in the slow suite only
``<!-- test: slow page -->``          the whole page is
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import re
import runpy
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[a-z]*)\s*$")
NOTE = re.compile(r"<!-- test: (.*?) *-->", re.DOTALL)
VERBS = re.compile(
    r"into \S+( without \S+)*( as \S+)?|write \S+|output( always)?|exit \d|not run: .+|slow( page)?"
    r"|(sh|python)\s.+",
    re.DOTALL,
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Block:
    """One fenced block, or one hidden piece of code, with the comments that stand above it."""

    page: str
    line: int
    language: str
    text: str
    notes: tuple[str, ...] = ()
    hidden: bool = False

    def said(self, verb: str) -> str | None:
        """What a comment says after ``verb``; None where there is none."""
        for note in self.notes:
            if note == verb or note.startswith((f"{verb} ", f"{verb}: ")):
                return note[len(verb) :].lstrip(": ")
        return None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def is_slow(path: Path) -> bool:
    """Whether the whole page takes too long for the fast suite."""
    return "slow page" in notes_of(path.read_text())


def notes_of(text: str) -> list[str]:
    """Every comment for the tests on a page."""
    return [note.strip() for note in NOTE.findall(text)]


def blocks(path: Path) -> list[Block]:
    """The blocks of a page, in order."""
    page = path.relative_to(ROOT).as_posix()
    lines = path.read_text().splitlines()
    found: list[Block] = []
    notes: list[str] = []
    at = 0
    while at < len(lines):
        start = at
        at += 1
        if lines[start].startswith("<!-- test: "):
            while "-->" not in lines[at - 1]:
                at += 1
            [note] = notes_of("\n".join(lines[start:at]))
            if hidden := re.match(r"(sh|python)\s+(.+)", note, re.DOTALL):
                found.append(Block(page, start + 1, hidden[1], hidden[2], hidden=True))
            else:
                notes.append(note)
        elif fence := FENCE.match(lines[start]):
            indent = len(fence["indent"])
            while lines[at].strip() != "```":
                at += 1
            text = "\n".join(line[indent:] for line in lines[start + 1 : at]) + "\n"
            found.append(Block(page, start + 1, fence["language"], text, tuple(notes)))
            notes = []
            at += 1
    return found


def few_draws(fit: Any, samples: int = 60, warmup: int = 150, chains: int = 2) -> Any:
    """``bm.fit`` with no more draws than that, so that a page's code runs in seconds."""
    signature = inspect.signature(fit)

    @functools.wraps(fit)
    def quick(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        for name, most in (
            ("num_samples", samples),
            ("num_warmup", warmup),
            ("num_chains", chains),
        ):
            given[name] = min(given[name], most)
        return fit(*bound.args, **bound.kwargs)

    return quick


def command_lines(text: str) -> list[list[str]]:
    """The words of every command of a shell block; comments and continuations resolved."""
    whole = re.sub(r"\\\n\s*", " ", text)
    return [words for line in whole.splitlines() if (words := shlex.split(line, comments=True))]


def merged(file: Path, fragment: str, without: list[str]) -> str:
    """A model file's text with a fragment of another laid over it, as by hand in an editor."""

    def lay_over(old: Any, new: Any) -> None:
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(old.get(key), dict) and not inline(value):
                lay_over(old[key], value)
            elif isinstance(value, list) and value and isinstance(value[0], dict) and key in old:
                old[key].extend(value)
            else:
                old[key] = value

    document = tomlkit.parse(file.read_text())
    for path in without:
        *tables, key = path.split(".")
        table: Any = document
        for name in tables:
            table = table[name]
        table.remove(key)
    lay_over(document, tomlkit.parse(fragment))
    return tomlkit.dumps(document)


def inline(value: Any) -> bool:
    """Whether a table is written in braces: a belief, which is replaced as a whole."""
    return isinstance(value, tomlkit.items.InlineTable)


class Runner:
    """Runs the blocks of one page in order, in one folder and one Python namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "page"}
        self.printed = ""
        shutil.copytree(ROOT / "models", folder / "models")
        shutil.copy(ROOT / "docs" / "recover_the_rate.py", folder)

    def run(self, block: Block) -> None:
        """Run one block; an assertion or an error that names its place where it fails."""
        if block.said("not run") is not None:
            return
        if (name := block.said("write")) is not None:
            (self.folder / name).write_text(block.text)
        elif block.language == "python":
            self.printed = self._python(block)
        elif block.language == "sh":
            status = int(block.said("exit") or 0)
            self.printed = "".join(
                self._command(words, block, status) for words in self.lines(block)
            )
        elif block.language == "toml":
            self._model(block)

    @staticmethod
    def lines(block: Block) -> list[list[str]]:
        return command_lines(block.text)

    def _python(self, block: Block) -> str:
        # Empty lines in front, so that a traceback gives the line of the page.
        code = compile("\n" * block.line + block.text, block.page, "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self.names)  # the page's own code, which is what is tested
        return printed.getvalue()

    def _command(self, words: list[str], block: Block, status: int) -> str:
        name, *rest = words
        if Path(name).name == "bayes-mesa":
            from bayes_mesa.interface.cli import app

            done = CliRunner().invoke(app, rest)
            assert done.exit_code == status, f"{block.where}: {words}: {done.output}"
            return str(done.output)
        if Path(name).name == "python" and rest[:1] and rest[0].endswith(".py"):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                runpy.run_path(rest[0], run_name="__main__")
            return printed.getvalue()
        assert name in {"cp", "mkdir", "cat", "ls"}, f"{block.where}: no way to run {words}"
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == status, f"{block.where}: {done.stderr}"
        return done.stdout

    def _model(self, block: Block) -> None:
        from bayes_mesa import load_model

        text, target = block.text, "page.toml"
        if (into := block.said("into")) is not None:
            base, *options = into.split()
            pairs = list(zip(options[::2], options[1::2], strict=True))
            file = self.folder / base
            if not file.is_file():
                file = self.folder / "models" / f"{base}.toml"
            text = merged(file, block.text, [value for key, value in pairs if key == "without"])
            target = dict(pairs).get("as", target)
        (self.folder / target).write_text(text)
        load_model(self.folder / target)


def same_but_for_rounding(said: str, found: str) -> bool:
    """Whether two lines are the same words, with numbers no further apart than platforms are."""

    def words(line: str) -> str:
        return " ".join(NUMBER.sub("#", line).split())

    def numbers(line: str) -> list[float]:
        return [float(x.replace(",", "")) for x in NUMBER.findall(line)]

    if words(said) != words(found):
        return False
    pairs = zip(numbers(said), numbers(found), strict=True)
    return all(abs(a - b) <= 0.02 * max(abs(a), abs(b)) + 1e-3 for a, b in pairs)


def not_printed(block: Block, printed: str) -> list[str]:
    """The lines of a block of output that are not, in their order, among what was printed."""
    rest = iter(printed.splitlines())
    return [
        line
        for line in block.text.splitlines()
        if line.strip()
        and line.strip() != "..."
        and not any(same_but_for_rounding(line, found) for found in rest)
    ]


def commands() -> dict[str, Any]:
    """Every command of `bayes-mesa`, by name."""
    from bayes_mesa.interface.cli import app

    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

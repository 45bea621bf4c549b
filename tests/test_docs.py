"""Every command and snippet of README.md and docs/, run as printed: `doc_pages` says how."""

import re
import runpy
import shlex

import pytest
from doc_pages import (
    NOTE,
    ROOT,
    VERBS,
    Runner,
    blocks,
    command_lines,
    commands,
    few_draws,
    is_slow,
    not_printed,
    notes_of,
    pages,
)

import bayes_mesa as bm

PAGES = pages()
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
RUN = ("python", "sh", "toml")
BY_NAME = dict(zip(NAMES, PAGES, strict=True))
# A command in running text, and a name of the face.
IN_A_SENTENCE = re.compile(r"(?<!`)`((?:bayes-mesa|make) [^`\n]+)`(?!`)")
FACE = re.compile(r"\bbm\.([A-Za-z_]+)")


def to_run(path):
    return [block for block in blocks(path) if block.language in RUN]


def in_full(path):
    """Whether a page has anything that only a run with all draws can show."""
    verbs = ("slow", "slow page", "output")
    return any(note in verbs for note in notes_of(path.read_text()))


def prose(path):
    """A page without its blocks and without the comments for this test."""
    return re.sub(r"^ *```.*?^ *```$", "", NOTE.sub("", path.read_text()), flags=re.M | re.S)


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield Runner(tmp_path)
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def quick(monkeypatch):
    from bayes_mesa.inference import fitting

    monkeypatch.setattr(fitting, "fit", few_draws(fitting.fit))


# --- what is printed runs -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n, p in BY_NAME.items() if to_run(p) and not is_slow(p)])
def test_a_page_runs_from_top_to_bottom(name, runner, quick):
    for block in blocks(BY_NAME[name]):
        if block.said("slow") is None:
            runner.run(block)
        if block.said("output") == "always":
            assert not_printed(block, runner.printed) == [], block.where


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n, p in BY_NAME.items() if in_full(p)])
def test_a_page_prints_what_it_says_with_all_draws(name, runner):
    missing = {}
    for block in blocks(BY_NAME[name]):
        runner.run(block)
        if block.said("output") is not None and (lines := not_printed(block, runner.printed)):
            missing[block.where] = (lines, runner.printed)
    assert missing == {}


# --- nothing is left out ------------------------------------------------------------------------


def unmarked(path):
    for block in blocks(path):
        reason = block.said("not run")
        if block.language not in (*RUN, "csv", "text"):
            yield f"{block.where}: a block says what it is: {', '.join(RUN)}, csv or text"
        elif block.language == "csv" and block.said("write") is None:
            yield f"{block.where}: a table that no test reads"
        elif block.language == "text" and re.search(
            r"^(\$ |bayes-mesa |make |python |import )", block.text, re.M
        ):
            yield f"{block.where}: a command in a block of output"
        elif block.language in RUN and reason is not None and len(reason.split()) < 3:
            yield f"{block.where}: not run, and no reason why"
    for note in notes_of(path.read_text()):
        if not VERBS.fullmatch(note):
            yield f"{path.name}: no such remark: {note}"
    for line in prose(path).splitlines():
        if re.match(r"\s{4,}(bayes-mesa|make|python) ", line):
            yield f"{path.name}: a command outside a block: {line.strip()}"


def test_no_block_is_left_unmarked():
    assert [fault for path in PAGES for fault in unmarked(path)] == []


def test_pages_have_blocks():
    """The tests above look at something: a parser that finds nothing passes them all."""
    found = [block for path in PAGES for block in to_run(path)]
    assert len(found) > 40
    assert {block.language for block in found} == set(RUN)
    assert sum(block.said("not run") is not None for block in found) < len(found) / 5


# --- what is only named exists ------------------------------------------------------------------


def named_commands(path):
    yield from IN_A_SENTENCE.findall(prose(path))
    for block in blocks(path):
        if block.language == "sh":
            yield from (shlex.join(words) for words in command_lines(block.text))


def fault_of(command, known, targets):
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        goals = [w for w in words[1:] if "=" not in w]
        return None if set(goals) <= targets else "no such target"
    if not words[0].endswith("bayes-mesa"):
        return None
    name = words[1]
    if name not in known:
        return "no such command"
    options = {option for p in known[name].params for option in p.opts} | {"--help"}
    unknown = [w for w in words[2:] if w.startswith("-") and w.split("=")[0] not in options]
    return f"no option {unknown}" if unknown else None


def test_every_command_that_is_named_exists():
    known = commands()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    found = [(path.name, command) for path in PAGES for command in named_commands(path)]
    assert len(found) > 30
    faults = [(*at, fault) for at in found if (fault := fault_of(at[1], known, targets))]
    assert faults == []


def test_every_example_in_the_help_is_a_command():
    known = commands()
    examples = [
        line.strip()
        for command in known.values()
        for line in (command.epilog or "").splitlines()
        if line.strip().startswith("bayes-mesa ")
    ]
    faults = [(line, fault) for line in examples if (fault := fault_of(line, known, set()))]
    assert faults == []


def test_every_public_name_that_is_named_exists():
    found = {(p.name, name) for p in PAGES for name in FACE.findall(p.read_text())}
    assert [(page, name) for page, name in found if name not in bm.__all__] == []


def test_every_link_leads_somewhere():
    broken = []
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)?(#[^)\s]+)?\)", path.read_text()):
            place, anchor = target
            if place.startswith(("http:", "https:")):
                continue
            file = (path.parent / place).resolve() if place else path
            if not file.exists():
                broken.append((path.name, place))
            elif anchor and file.suffix == ".md" and anchor[1:] not in anchors(file):
                broken.append((path.name, place + anchor))
    assert broken == []


def anchors(path):
    """The anchors that headings get: small letters, words joined by hyphens, no punctuation."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", t.strip().lower()).replace(" ", "-") for t in titles}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [
        path.name for path in PAGES if f"({path.name})" not in index and path.name != "README.md"
    ] == []


# --- the reference is generated -----------------------------------------------------------------


def test_the_reference_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["reference"]()
    said = (ROOT / "docs" / "reference.md").read_text()
    assert said == made, "python docs/make_reference.py writes it again"


def test_the_reference_has_every_name_and_option():
    said = (ROOT / "docs" / "reference.md").read_text()
    assert [name for name in bm.__all__ if f"`bm.{name}" not in said] == []
    missing = [
        (name, option)
        for name, command in commands().items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
        and option not in said.split(f"### `bayes-mesa {name}")[1].split("\n### ")[0]
    ]
    assert missing == []

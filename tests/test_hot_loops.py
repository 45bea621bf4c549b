"""No line that runs without the GIL touches Python: Cython's annotated listing shows it white."""

import ast
import html
import re
import shutil

import pytest
from Cython.Compiler.Main import CompilationOptions
from Cython.Compiler.Main import compile as translate
from test_house import NATIVE, ROOT

SOURCES = sorted(p.name for p in (*NATIVE.glob("*.pyx"), *NATIVE.glob("*.pxd")))
LISTED = re.compile(
    r'<pre class="cython line score-(\d+)"[^>]*>.*?<span class="">(\d+)</span>: (.*?)</pre>'
)


def directives():
    """Those of a release build, which stand in setup.py alone."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "DIRECTIVES":
            return eval(ast.unparse(statement.value), {"DEBUG": False})
    raise AssertionError("setup.py must have DIRECTIVES")


def scores(name, folder):
    """How much Python each line of a source is compiled to, by line, and the line itself."""
    for source in (*NATIVE.glob("*.pyx"), *NATIVE.glob("*.pxd")):
        shutil.copy(source, folder)
    # A header is listed nowhere: as a module of another name it is.
    module = folder / f"listed_{name.split('.')[0]}.pyx"
    shutil.copy(NATIVE / name, module)
    options = CompilationOptions(
        annotate=True, compiler_directives=directives(), include_path=[str(folder)]
    )
    assert translate(str(module), options).num_errors == 0
    listing = module.with_suffix(".html").read_text()
    found = {
        int(m[2]): (int(m[1]), html.unescape(re.sub("<[^>]*>", "", m[3])))
        for m in LISTED.finditer(listing)
    }
    assert len(found) == len(module.read_text().splitlines())
    return found


def without_the_gil(text):
    """Numbers of the lines in bodies of `nogil` functions and blocks."""
    lines = text.splitlines()
    inside = set()
    for end, line in enumerate(lines):
        if not re.search(r"\bnogil:\s*(#.*)?$", line) or line.lstrip().startswith("#"):
            continue
        begin = end
        while not re.match(r"\s*(cdef|with)\b", lines[begin]):
            begin -= 1
        outside = len(lines[begin]) - len(lines[begin].lstrip())
        for number in range(end + 1, len(lines)):
            body = lines[number]
            if body.strip() and len(body) - len(body.lstrip()) <= outside:
                break
            inside.add(number + 1)
    return inside


def yellow(name, folder):
    found = scores(name, folder)
    inside = without_the_gil((NATIVE / name).read_text())
    return [f"{name}:{k}: {found[k][1].strip()}" for k in sorted(inside) if found[k][0]]


@pytest.mark.parametrize(
    "name",
    [n if n == "envelope.pyx" else pytest.param(n, marks=pytest.mark.slow) for n in SOURCES],
)
def test_what_runs_without_the_gil_is_white(name, tmp_path):
    assert yellow(name, tmp_path) == []


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_such_lines(name):
    text = (NATIVE / name).read_text()
    assert len(without_the_gil(text)) > (0 if name in ("program_work.pxd",) else 5)


def test_a_yellow_line_would_be_noticed(tmp_path, monkeypatch):
    planted = tmp_path / "planted"
    planted.mkdir()
    text = (
        "cdef int twice(int x) noexcept nogil:\n    with gil:\n        print(x)\n    return 2 * x\n"
    )
    (planted / "loud.pyx").write_text(text)
    monkeypatch.setattr("test_hot_loops.NATIVE", planted)
    assert yellow("loud.pyx", tmp_path) == ["loud.pyx:2: with gil:", "loud.pyx:3: print(x)"]

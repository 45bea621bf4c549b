"""The house rules that a reader cannot see at a glance: imports, laziness, pins, stray paths."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bayes_mesa"
NATIVE = ROOT / "_ext"

# A package imports only from those before it: what a model is, how its file and its evidence are
# read, what programs cost, what is inferred, drawn and shown. Within one, imports form no circle.
PACKAGES = """
    errors text storage parallel domain reading costing grammars chains verdicts evidence
    model_file inference results sweeps drawing handing_on reweighting regimes sensitivity
    calibration comparison plots pages interface __main__
""".split()
HEAVY = ("jax", "numpyro", "arviz", "arviz_stats", "matplotlib", "scipy.stats", "xarray", "pandas")
TEXTS = (".py", ".pyx", ".pxd", ".toml", ".md", ".txt", ".html", ".csv", ".cfg", ".yml")


def modules():
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "__init__.py"
    }


def for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements_run(node):
    """Every node below ``node`` that can be run: not what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not for_types_only(child):
            yield child
            yield from statements_run(child)


def imported_names(path):
    """Every dotted name that a file imports, at the top or inside a function."""
    for node in statements_run(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path, known):
    """Modules of ours that a file imports, by name without the package."""
    for name in imported_names(path):
        if name.split(".")[0] == "bayes_mesa" and name.split(".")[1:2] != ["_ext"]:
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in known:
                parts.pop()
            yield ".".join(parts)


def graph():
    known = modules() | {"_ext": NATIVE}
    return {name: set(own_imports(path, known)) - {name} for name, path in modules().items()}


def test_imports_form_a_dag():
    assert tuple(TopologicalSorter(graph()).static_order())


def test_imports_go_in_one_direction():
    upward = [
        f"{name} imports {other}"
        for name, others in graph().items()
        for other in others - {"_ext"}
        if place(other) > place(name)
    ]
    assert upward == []


def place(module):
    package = module.split(".")[0]
    assert package in PACKAGES, f"{module}: say in this test where `{package}` stands"
    return PACKAGES.index(package)


def test_modules_import_modules_and_not_the_face():
    through_the_face = [name for name, others in graph().items() if "" in others]
    assert through_the_face == []


def test_the_face_only_re_exports():
    statements = ast.parse((PACKAGE / "__init__.py").read_text()).body
    names = {type(s).__name__ for s in statements}
    assert names <= {"Expr", "Import", "ImportFrom", "Assign", "AnnAssign", "FunctionDef", "If"}
    functions = {s.name for s in statements if isinstance(s, ast.FunctionDef)}
    assert functions <= {"__getattr__", "__dir__"}


def test_native_code_imports_nothing_of_ours():
    sources = [*NATIVE.glob("*.pyx"), *NATIVE.glob("*.pxd"), *NATIVE.glob("*.py")]
    assert sources
    own = re.compile(r"^\s*(?:c?import|from)\s+bayes_mesa", re.MULTILINE)
    assert [path.name for path in sources if own.search(path.read_text())] == []


def in_a_fresh_python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return json.loads(done.stdout)


def test_importing_loads_nothing_heavy():
    code = "import bayes_mesa, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = set(in_a_fresh_python(code))
    assert "bayes_mesa" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_importing_is_quick():
    # Processor time, best of five: on a busy machine the wall clock measures the neighbours.
    code = """if True:
        import json, time
        start = time.process_time()
        import bayes_mesa
        print(json.dumps(time.process_time() - start))"""
    assert min(in_a_fresh_python(code) for _ in range(5)) < 0.3


def test_importing_changes_no_global_setting():
    code = """if True:
        import json, locale, logging, os, random, signal, sys, warnings
        import jax, numpy
        def settings():
            return repr([
                jax.config.jax_enable_x64, jax.config.jax_platforms, numpy.geterr(),
                numpy.get_printoptions(), numpy.random.get_state(), random.getstate(),
                sorted(os.environ.items()), logging.getLogger().handlers,
                logging.getLogger().level, signal.getsignal(signal.SIGINT), sys.excepthook,
                sys.path, sys.getrecursionlimit(), locale.setlocale(locale.LC_ALL),
                [f for f in warnings.filters if "bayes_mesa" in str(f)],
            ])
        before = settings()
        import bayes_mesa
        [getattr(bayes_mesa, name) for name in bayes_mesa.__all__]
        print(json.dumps(settings() == before))"""
    assert in_a_fresh_python(code) is True


def written_files():
    skipped = {".venv", "build", "out", "node_modules"}
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(p in skipped or (p.startswith(".") and p != ".ci") for p in parts)
        if path.is_file() and not hidden and not any(p.endswith(".egg-info") for p in parts):
            yield path


def test_no_machine_paths():
    # Put together from parts, so that this file passes its own test.
    machine = re.compile("|".join(f"/{name}/" for name in ("tmp", "work", "root", r"\.pyenv")))
    named = ("Makefile", "run")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in written_files()
        if path.suffix in TEXTS or path.name in named
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if machine.search(line)
    ]
    assert found == []


def test_every_shipped_model_is_listed():
    from bayes_mesa.model_file import shipped_models

    on_disk = sorted(path.stem for path in (ROOT / "models").glob("*.toml"))
    assert on_disk
    assert sorted(shipped_models()) == on_disk
    readme = (ROOT / "docs" / "model_file.md").read_text()
    assert [name for name in on_disk if f"`{name}`" not in readme] == []


def requirements():
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)
    project = declared["project"]
    extras = project["optional-dependencies"]
    names = [*declared["build-system"]["requires"], *project["dependencies"]]
    return [Requirement(text) for text in names + extras["test"] + extras["lint"]]


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_bounds(requirement, pins):
    version = pins.get(canonicalize_name(requirement.name))
    assert version is not None, "not in constraints.txt"
    assert requirement.specifier.contains(version, prereleases=True)


def test_python_version_is_one_the_package_accepts():
    chosen = (ROOT / ".python-version").read_text().strip()
    with (ROOT / "pyproject.toml").open("rb") as file:
        accepted = tomllib.load(file)["project"]["requires-python"]
    assert Requirement(f"python{accepted}").specifier.contains(chosen)

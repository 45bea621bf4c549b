"""Which functions of the package a gate runs: a bug in another one it cannot see."""

import ast
import sys
from contextlib import contextmanager

_TOOL = 4


@contextmanager
def watched(package):
    """A set that fills with what runs meanwhile: ``FILE:QUALNAME``, and native modules by name.

    ``package`` is the folder of the package; files are named from the folder that it is in. Every
    place in the code is noted the first time only, so that watching costs next to nothing.
    """
    events, seen = sys.monitoring.events, set()
    home = str(package.parent) + "/"

    def started(code, _):
        if code.co_filename.startswith(str(package)):
            seen.add(f"{code.co_filename.removeprefix(home)}:{code.co_qualname}")
        return sys.monitoring.DISABLE

    def called(code, offset, function, first):
        owner = getattr(function, "__objclass__", function)
        module = getattr(owner, "__module__", None)
        if isinstance(module, str) and module.startswith("bayes_mesa._ext."):
            seen.add(module)
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(_TOOL, "planted bugs")
    sys.monitoring.register_callback(_TOOL, events.PY_START, started)
    sys.monitoring.register_callback(_TOOL, events.CALL, called)
    sys.monitoring.set_events(_TOOL, events.PY_START | events.CALL)
    try:
        yield seen
    finally:
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.free_tool_id(_TOOL)


def function_at(source, place):
    """Qualified name of the innermost function around a place in a source, or ``<module>``."""
    line = source.count("\n", 0, place) + 1
    found = "<module>"

    def look(node, names):
        nonlocal found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                if child.lineno <= line <= child.end_lineno:
                    here = [*names, child.name]
                    if isinstance(child, ast.FunctionDef):
                        found = ".".join(here)
                        here.append("<locals>")
                    look(child, here)
            else:
                look(child, names)

    look(ast.parse(source), [])
    return found

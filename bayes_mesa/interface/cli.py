"""The command line: `bayes-mesa`. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import _thread
import os
import sys
import threading
import warnings
from typing import Annotated

import typer

from bayes_mesa.interface.shell import INTERRUPTED, app

# Each module registers its commands when it is imported: this order is that of the help.
# isort: off
from bayes_mesa.interface import run_command  # noqa: F401
from bayes_mesa.interface import program_commands  # noqa: F401
from bayes_mesa.interface import training_commands  # noqa: F401
from bayes_mesa.interface import sweep_command  # noqa: F401
from bayes_mesa.interface import calibrate_command  # noqa: F401
from bayes_mesa.interface import question_commands  # noqa: F401
from bayes_mesa.interface import result_commands  # noqa: F401
# isort: on


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"bayes_mesa {version('bayes_mesa')}")
        raise typer.Exit


@app.callback()
def top(
    asked: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Nothing of its own: the help is the application's."""


def main() -> None:
    """Run the command line; exits with 0, 1 (our fault), 2 (wrong input) or 130 (interrupted)."""
    # A warning is one line too, and not the source that gave it.
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    # Python drops a Ctrl-C that comes up in a library's callback: it is sent again.
    sys.unraisablehook = _unraisable
    try:
        app()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        # All is said and cleaned up; taking the libraries apart would take longer than the stop.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    if issubclass(lost.exc_type, KeyboardInterrupt):
        # A little later, from outside: raised in here it would be dropped like the first.
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)

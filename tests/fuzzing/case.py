"""A case: a few files, the reader that they are for, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MODEL, EVIDENCE, FACTS = "model", "evidence", "facts"
TARGETS = (MODEL, EVIDENCE, FACTS)


@dataclass(frozen=True)
class Case:
    """``files`` by name; ``main`` is the one that the reader is given.

    ``beside`` names the model of `seeds.MODELS` that evidence is read against.
    """

    target: str
    files: Mapping[str, bytes]
    main: str
    beside: str = ""

    def having(self, name: str, content: bytes) -> Case:
        """The case with another content of one file."""
        return replace(self, files={**self.files, name: content})

    def write(self, folder: Path) -> Path:
        """Put the files into an empty folder of their own; the path of the main one."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.name not in self.files:
                old.unlink()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder / self.main

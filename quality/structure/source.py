"""Reads a checkout of this repository: which packages it has, and which modules they hold.

A checkout is a folder, or a revision that `revision` extracts into a temporary folder. Everything else in
`quality.structure` receives a `Checkout`.
"""

from __future__ import annotations

import ast
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Module:
    """One Python file."""

    name: str
    """Dotted, as it is imported."""
    path: str
    """Relative to the checkout."""
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@dataclass(frozen=True)
class Checkout:
    """The files of one revision."""

    root: Path

    @cached_property
    def code(self) -> list[Module]:
        """The modules of every top-level package except the tests. Migrations, which Django writes, are left out."""
        packages = [path.parent for path in sorted(self.root.glob("*/__init__.py")) if path.parent.name != "tests"]
        return [module for package in packages for module in self._modules(package)]

    @cached_property
    def tests(self) -> list[Module]:
        return self._modules(self.root / "tests")

    def _modules(self, package: Path) -> list[Module]:
        found = []
        for path in sorted(package.rglob("*.py")):
            relative = path.relative_to(self.root)
            if "migrations" not in relative.parts:
                # A package is imported by the name of its folder.
                name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
                found.append(Module(name=name, path=str(relative), text=path.read_text()))
        return found


@contextmanager
def revision(name: str) -> Iterator[Checkout]:
    """Extract a revision of this repository into a temporary folder.

    Args:
        name: What git accepts as a revision, such as `8ec138d` or `HEAD~3`.

    Raises:
        subprocess.CalledProcessError: git does not know the revision.
    """
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", name]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="limn-structure-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Checkout(Path(folder))

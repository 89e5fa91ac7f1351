"""Reads the Markdown pages of the repository: their headings, links, code spans and fenced code blocks.

The tests of the documentation use it. A shell block that tests cannot run is preceded by the comment
`<!-- not run: REASON -->`, which readers of the rendered page do not see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from quality.structure.source import ROOT

NOT_RUN = re.compile(r"<!-- not run: .+ -->")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced code block."""

    page: str
    line: int
    language: str
    code: str
    is_run: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """The path relative to the repository."""
        return str(self.path.relative_to(ROOT))

    @cached_property
    def blocks(self) -> list[Block]:
        """All fenced code blocks, in order."""
        return self._read()[0]

    @cached_property
    def prose(self) -> str:
        """The page without its fenced code blocks."""
        return "\n".join(self._read()[1])

    @property
    def code_spans(self) -> list[str]:
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def links(self) -> list[str]:
        """The targets of all links and images."""
        return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]*`", "", self.prose))

    @property
    def anchors(self) -> set[str]:
        """The anchors of all headings, as GitHub and the site name them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def _read(self) -> tuple[list[Block], list[str]]:
        blocks: list[Block] = []
        prose: list[str] = []
        code: list[str] | None = None
        language, start = "", 0
        for number, line in enumerate(self.path.read_text().splitlines(), start=1):
            if not line.startswith("```"):
                (prose if code is None else code).append(line)
            elif code is None:
                code, language, start = [], line.removeprefix("```"), number
            else:
                is_run = not NOT_RUN.fullmatch(prose[-1] if prose else "")
                blocks.append(Block(page=self.name, line=start, language=language, code="\n".join(code), is_run=is_run))
                code = None
        return blocks, prose


PAGES = [Page(path) for path in [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]]
SHELL_BLOCKS = [block for page in PAGES for block in page.blocks if block.language == "sh"]

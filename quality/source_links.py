"""A Markdown extension for the documentation site, named in mkdocs.yml: shows links to source files as plain text.

The pages link to files of the repository, which editors and code hosts open. The site contains only `docs/`, so these
links would lead nowhere there. Links within `docs/` and to other hosts are left unchanged.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor


class SourceLinks(Treeprocessor):
    """Removes the address of each link that leads out of `docs/`."""

    def run(self, root: Element) -> None:
        for link in root.iter("a"):
            # Pages in docs/ itself link to the repository with one step up, those in its folders with two.
            if link.get("href", "").startswith("../") and not link.get("href", "").partition("#")[0].endswith(".md"):
                link.tag = "span"
                del link.attrib["href"]


class SourceLinksExtension(Extension):
    """Registers the processor; `makeExtension` is the name that Markdown looks for."""

    def extendMarkdown(self, md: Markdown) -> None:
        # After the links have been made from the text, which has priority 20.
        md.treeprocessors.register(SourceLinks(md), "source_links", 15)


def makeExtension(**options: object) -> SourceLinksExtension:
    """Return the extension."""
    return SourceLinksExtension(**options)

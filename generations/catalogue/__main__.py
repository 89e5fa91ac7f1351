"""`python -m generations.catalogue` prints the tables of models for docs/models.md. A test compares the two."""

from __future__ import annotations

import sys

from generations.catalogue import MODELS

HEADINGS = {"image": "Images", "video": "Videos", "3d": "3D", "audio": "Audio"}


def as_markdown() -> str:
    """Return one Markdown table for each kind of model, under its heading."""
    sections = []
    for kind, heading in HEADINGS.items():
        rows = ["| model | fal endpoint | price | not verified |", "|---|---|---|---|"]
        for model in MODELS.values():
            if model.kind == kind:
                presets = f" Presets: {', '.join(model.presets)}." if model.presets else ""
                name, endpoint = f"`{model.slug}`: {model.title}.{presets}", f"`{model.endpoint}`"
                cells = [name, endpoint, model.price.list_description, "; ".join(model.unsure)]
                # A vertical bar would end the cell.
                rows.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        sections.append(f"### {heading}\n\n" + "\n".join(rows))
    return "\n\n".join(sections)


if __name__ == "__main__":
    sys.stdout.write(f"{as_markdown()}\n")

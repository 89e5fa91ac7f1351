"""`python -m generations.catalogue` prints the tables of docs/models.md."""

from __future__ import annotations

import sys

from generations.catalogue import MODELS, Model

HEADINGS = {"image": "Pictures", "video": "Videos", "3d": "3D", "audio": "Sound"}


def as_markdown() -> str:
    return "\n\n".join(f"### {heading}\n\n{_table(kind)}" for kind, heading in HEADINGS.items())


def _table(kind: str) -> str:
    rows = [_row(model) for model in MODELS.values() if model.kind == kind]
    return "\n".join(["| model | fal's endpoint | price | what is not sure |", "|---|---|---|---|", *rows])


def _row(model: Model) -> str:
    presets = f" Presets: {', '.join(model.presets)}." if model.presets else ""
    cells = [
        f"`{model.slug}`: {model.title}.{presets}",
        f"`{model.endpoint}`",
        model.price.list_description,
        "; ".join(model.unsure),
    ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(f"{as_markdown()}\n")

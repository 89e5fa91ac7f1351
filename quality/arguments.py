"""Reads the arguments of commands of this package that select among known names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def read_names(arguments: Sequence[str], known: Sequence[str], *, prog: str, description: str) -> list[str]:
    """Return the names on the command line, which may be none. Exits with 2 if one is unknown, and lists the known."""

    def require_known(name: str) -> str:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown name {name!r}; the names are {', '.join(known)}")
        return name

    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("names", nargs="*", type=require_known, metavar="NAME", help=", ".join(known))
    return list(parser.parse_args(arguments).names)

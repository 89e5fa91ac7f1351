"""`make structure`: prints the figures of the code and what is over a limit, or draws the architecture."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from quality.structure import figures, picture, report, source
from quality.structure.limits import limits

PLACES_MAX = 10


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m quality.structure", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--root", type=Path, default=source.ROOT, metavar="DIR", help="measure the checkout in DIR")
    which.add_argument("--rev", help="measure a revision of this repository")
    parser.add_argument("--compare", metavar="REV", help="measure another revision too and print it beside the first")
    parser.add_argument("--cases", action="store_true", help="also count the test cases, with pytest (half a minute)")
    parser.add_argument("--all", action="store_true", help="list every place over a limit, not only the first ten")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="only draw the architecture, as SVG, into FILE")
    options = parser.parse_args(arguments)

    with ExitStack() as extracted:
        checkouts = {"this checkout": source.Checkout(options.root)}
        try:
            if options.rev:
                checkouts = {options.rev: extracted.enter_context(source.revision(options.rev))}
            if options.compare:
                checkouts = {options.compare: extracted.enter_context(source.revision(options.compare)), **checkouts}
        except subprocess.CalledProcessError as error:
            parser.error(f"git could not read the revision: {error.stderr.decode().strip()}")
        measured = {name: figures.measure(checkout, with_cases=options.cases) for name, checkout in checkouts.items()}

    latest = list(measured.values())[-1]
    if options.picture:
        options.picture.write_text(picture.draw(latest.graph))
    elif options.json:
        print(report.as_json(measured))
    else:
        over = report.excesses(limits(latest), places_max=sys.maxsize if options.all else PLACES_MAX)
        print(report.table(measured), report.packages(latest), over, sep="\n\n")
    return 0


sys.exit(main(sys.argv[1:]))

"""`make bench`: measures what docs/performance.md shows, or the rows that are named on the command line."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psycopg

from quality.benchmarks import engines, page, servers
from quality.benchmarks.environment import Environment
from quality.benchmarks.options import Options
from quality.benchmarks.results import Result, as_text
from quality.benchmarks.rows import callbacks, copy, growth, idle, jobs, latency, order, sqlite, status
from quality.chaos.processes import ROOT

Row = Callable[[Environment, Options], list[Result]]
ROWS: dict[str, Row] = {
    "callbacks": callbacks.measure,
    "status": status.measure,
    "order": order.measure,
    "latency": latency.measure,
    "jobs": jobs.measure,
    "copy": copy.measure,
    "idle": idle.measure,
    "sqlite": sqlite.measure,
    "growth": growth.measure,
}
USUAL = tuple(name for name in ROWS if name != "growth")
"""Without names these are measured; they take about twenty minutes. To fill a million rows takes longer."""
# They compare web servers, and engines behind Django Tasks. Each starts what it needs, and prints a table of its own.
COMPARISONS = {"servers": servers.main, "engines": engines.main}


def main(arguments: Sequence[str]) -> int:
    parsed = read_arguments(arguments)
    if len(parsed.names) == 1 and parsed.names[0] in COMPARISONS:
        COMPARISONS[parsed.names[0]]()
        return 0
    if parsed.publish_file:
        page.publish(json.loads(parsed.publish_file.read_text()))
        return 0
    started_at, load = time.strftime("%Y-%m-%d %H:%M"), os.getloadavg()
    options, names = options_of(parsed), parsed.names or USUAL
    with tempfile.TemporaryDirectory(prefix="limn-bench-") as folder:
        # PostgreSQL runs as a user without privileges, which has to reach its folder.
        Path(folder).chmod(0o755)
        size = {"users": options.users, "web": options.web_processes}
        with Environment(Path(parsed.keep or folder), parsed.root, **size) as environment:
            about: dict[str, Any] = {
                "rows": list(names),
                "commit": commit(parsed.root),
                "at": started_at,
                "cores": os.cpu_count(),
                "load before": load,
                "postgresql": postgresql_version(environment),
                "python": sys.version.split()[0],
            }
            results = measure(names, environment, options)
    about["load after"] = os.getloadavg()
    print("\n" + as_text(results) + "\n\n" + ", ".join(f"{name}: {value}" for name, value in about.items()))
    documents = [{**result.as_json(), "about": about} for result in results]
    parsed.output.parent.mkdir(parents=True, exist_ok=True)
    parsed.output.write_text(json.dumps(documents, indent=1, ensure_ascii=False) + "\n")
    print(f"Written to {parsed.output}")
    if any(result.error for result in results):
        return 1
    if parsed.publish:
        page.publish(documents)
        print(f"Published in {page.PAGE}")
    return 0


def measure(names: Sequence[str], environment: Environment, options: Options) -> list[Result]:
    """Measure these rows. One that fails becomes a line with its error."""
    results: list[Result] = []
    for name in names:
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        try:
            results += ROWS[name](environment, options)
        except Exception as error:
            traceback.print_exc()
            reason = str(error).partition("\n")[0]
            results.append(Result(row=name, what=name, unit="", error=f"failed: {reason}"[:100]))
    return results


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Exits with 2 if something is wrong with it."""
    names = [*ROWS, *COMPARISONS]
    parser = argparse.ArgumentParser(prog='make bench ARGS="…"', description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ROW", help=", ".join(names))
    parser.add_argument("--output", type=Path, default=ROOT / "var/bench.json", help="file for the results, as JSON")
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md and its chart if all succeed")
    parser.add_argument("--publish-file", type=Path, help="write them with the results in a file, and measure nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to measure (default: this one)")
    parser.add_argument("--keep", type=Path, help="an empty folder for databases and logs, which are kept")
    for each in fields(Options):
        kind: Any = {"int": int, "float": float}.get(str(each.type))
        if kind is not None:
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=kind, help=f"default: {each.default}")
    parser.add_argument("--no-old", action="store_true", help="do not measure the old commit")
    parser.add_argument("--no-peer", action="store_true", help="do not install and measure dj-stripe")
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.names) - set(names):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; the rows are {', '.join(names)}")
    return parsed


def options_of(parsed: argparse.Namespace) -> Options:
    """Return the options that were given, and the defaults of the others."""
    given = {each.name: getattr(parsed, each.name, None) for each in fields(Options)}
    chosen = {name: value for name, value in given.items() if value is not None}
    return replace(Options(peer=not parsed.no_peer, old=not parsed.no_old), **chosen)


def commit(root: Path) -> str:
    """Return the short hash of the commit of a checkout, with `+` if files have been changed since."""
    hash_command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    shown = subprocess.run(hash_command, capture_output=True, text=True, check=False).stdout.strip()
    changed = ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"]
    is_changed = subprocess.run(changed, capture_output=True, text=True, check=False).stdout.strip()
    return (shown or "unknown") + ("+" if is_changed else "")


def postgresql_version(environment: Environment) -> str:
    """Return the version of the server."""
    with psycopg.connect(environment.postgres.url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

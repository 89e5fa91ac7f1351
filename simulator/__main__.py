"""`python -m simulator`: runs until it is told to stop."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import threading
from pathlib import Path

from simulator.app import Simulator
from simulator.retry_policies import POLICIES
from simulator.scenario_table import as_markdown


def main() -> int:
    options = _options()
    if options.words:
        print(as_markdown())
        return 0
    stopping = threading.Event()
    # Set before anything is started, so that an early signal ends us just as cleanly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        simulator = _simulator(options)
    except OSError as error:
        print(_sentence(error, options), file=sys.stderr)
        return 1
    with simulator:
        print(f"fal simulator ready on {simulator.url}", flush=True)
        if not options.quiet:
            print(f"Requests and scenario words: {simulator.url}/ (settings: /_simulator/environment)", flush=True)
        stopping.wait()
    return 0


def _simulator(options: argparse.Namespace) -> Simulator:
    return Simulator(
        data_dir=options.data_dir,
        port=options.port,
        speed=options.speed,
        host=options.host,
        callback_policy=options.callback_policy,
        public_url=options.public_url,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="fal, on your own machine.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9000, help="the port (9000); 0 takes a free one")
    parser.add_argument("--data-dir", type=Path, help="where keys and log are kept; without it they are forgotten")
    parser.add_argument("--speed", type=_speed, default=1.0, help="how many times faster than fal (1.0)")
    parser.add_argument("--callback-policy", choices=list(POLICIES), default="2026", help="how often fal tries again")
    parser.add_argument("--public-url", default="", help="what the addresses in answers begin with, behind a proxy")
    parser.add_argument("--words", action="store_true", help="print the table of scenario words, and end")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the ready line")
    return parser.parse_args()


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < 1e6:
        raise argparse.ArgumentTypeError("the speed must be greater than 0")
    return speed


def _sentence(error: OSError, options: argparse.Namespace) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {options.port} is in use. End the program that has it, or choose another with --port."
    return f"The simulator cannot start: {error}"


if __name__ == "__main__":
    sys.exit(main())

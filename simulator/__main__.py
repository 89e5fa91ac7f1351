"""The command line, `python -m simulator`: runs the simulator until SIGTERM or Ctrl-C.

`manage.py up` starts it when there is no FAL_KEY, the chaos run always.
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import threading
from pathlib import Path

from simulator.app import Simulator
from simulator.retry_policies import RETRY_POLICIES
from simulator.scenario_table import as_markdown

# At this speed an hour of fal's is 3.6 ms.
SPEED_LIMIT = 1_000_000


def main() -> int:
    """Parse the command line and run. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description="Simulates fal on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen on (9000); 0 takes a free one")
    parser.add_argument("--data-dir", type=Path, help="folder for keys and log; without it they are kept in memory")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster than fal (1.0)")
    parser.add_argument("--callback-policy", choices=list(RETRY_POLICIES), default="2026", help="retry policy (2026)")
    parser.add_argument("--public-url", default="", help="base of the URLs in responses, if behind a proxy")
    parser.add_argument("--words", action="store_true", help="print the table of scenarios and exit")
    parser.add_argument("--quiet", action="store_true", help="print only the line that says that it is ready")
    options = parser.parse_args()
    if not 0 < options.speed < SPEED_LIMIT:
        parser.error(f"argument --speed: must be greater than 0 and less than {SPEED_LIMIT:,}")
    if options.words:
        print(as_markdown())
        return 0
    stopping = threading.Event()
    # Installed before anything is started, so that an early signal also ends the program cleanly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        simulator = Simulator(
            data_dir=options.data_dir,
            port=options.port,
            speed=options.speed,
            host=options.host,
            callback_policy=options.callback_policy,
            public_url=options.public_url,
        )
    except OSError as error:
        message = f"The simulator cannot start: {error}"
        if error.errno == errno.EADDRINUSE:
            message = f"Port {options.port} is in use. End the program that uses it, or choose another with --port."
        print(message, file=sys.stderr)
        return 1
    with simulator:
        print(f"fal simulator ready on {simulator.url}", flush=True)
        if not options.quiet:
            print(f"Requests and scenarios: {simulator.url}/ (settings: /_simulator/environment)", flush=True)
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

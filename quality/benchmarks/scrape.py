"""Measures how long Prometheus waits for /metrics with 100,000 generations in the database.

`python -m quality.benchmarks.scrape` uses a new SQLite database; with `DATABASE_URL=postgresql://…` it uses that one,
which must be empty. `GENERATIONS` is the number of generations.
"""

from __future__ import annotations

import os
import tempfile

import django
from django.core.management import call_command
from django.db import connection

GENERATIONS = int(os.environ.get("GENERATIONS", "100000"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR"}
        django.setup()
        # Models can be imported only after django.setup().
        from quality.benchmarks import scrape_data  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        scrape_data.create_generations(GENERATIONS)
        print(f"{connection.vendor}, {GENERATIONS} generations")
        scrape_data.measure()


if __name__ == "__main__":
    main()

"""What is mutated, and which tests must kill the mutants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quality.working_copy import ROOT


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Modules that are mutated in one pytest process, and the tests that run there."""

    name: str
    modules: list[str]
    tests: list[str]
    """Paths of test files. Only tests that take milliseconds: slower ones kill no more mutants, and cost hours."""

    def restricted_to(self, names: Sequence[str]) -> Subject:
        """Return the subject with the modules of these names (`placing`); without names, with all of them."""
        chosen = [module for module in self.modules if not names or module.rpartition(".")[2] in names]
        return replace(self, modules=chosen)


LIFECYCLE_MODULES = sorted(
    path.stem for path in (ROOT / "generations/lifecycle").glob("*.py") if path.stem != "__init__"
)

SUBJECTS = [
    Subject(
        name="ledger",
        modules=["credits.ledger"],
        tests=[f"tests/credits/test_{name}.py" for name in ("operations", "refusals", "atomicity", "reference_model")],
    ),
    Subject(
        name="lifecycle",
        modules=[*(f"generations.lifecycle.{name}" for name in LIFECYCLE_MODULES), "generations.ordering.orders"],
        tests=[
            "tests/generations/lifecycle/test_transitions.py",
            "tests/generations/lifecycle/test_written_columns.py",
            "tests/generations/lifecycle/test_failures.py",
            "tests/generations/lifecycle/test_ordering.py",
            "tests/generations/lifecycle/test_atomicity.py",
            "tests/generations/lifecycle/test_storing.py",
            "tests/generations/lifecycle/test_cancelling.py",
            "tests/generations/lifecycle/test_charging_rules.py",
            "tests/generations/lifecycle/test_erasing.py",
            "tests/generations/workers/test_callback_inbox.py",
            "tests/generations/workers/test_lost_answers.py",
            "tests/generations/progress/test_progress.py",
            "tests/generations/provider/test_circuit_breaker.py",
            "tests/generations/api/test_idempotency.py",
            "tests/generations/api/test_repeated_orders.py",
            "tests/generations/api/test_batches.py",
            "tests/generations/ordering/test_price_book.py",
            "tests/generations/ordering/input_files/test_input_files.py",
            "tests/notifications/test_outbox.py",
        ],
    ),
]

"""Bugs that believe what fal or a file server sends: the URLs of a receipt, and the end of a file."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

CLIENT = "generations.fal.client"

BUGS = (
    Bug(
        number="32a",
        sentence="The URLs of a receipt are compared with fal's hosts only",
        changes=(
            ReplaceCode(
                module=CLIENT,
                old="receipts.is_of_own_job(receipt, endpoint, homes=self._homes)",
                new="all(map(self._is_fals_own, (receipt.status_url, receipt.response_url, receipt.cancel_url)))",
            ),
        ),
        caught_by=(
            "test_a21_the_file_of_another_order_is_not_delivered",
            "test_a21_the_job_of_another_order_is_not_cancelled",
        ),
    ),
    Bug(
        number="32b",
        sentence="Stored URLs of a submission are used as they are",
        changes=(
            ReplaceCode(
                module="generations.provider.clients",
                old="fal().checked_receipt(submission.generation.endpoint, stored)",
                new="stored",
            ),
        ),
        caught_by=(
            "test_a21_stored_urls_of_another_order_are_not_followed",
            "test_a21_a_surplus_job_is_cancelled_by_its_own_url",
        ),
    ),
)

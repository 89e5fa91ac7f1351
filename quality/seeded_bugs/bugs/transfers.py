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
    Bug(
        number="32c",
        sentence="Every answer that fal's record returns is taken for that of the asked request",
        changes=(
            ReplaceCode(
                module="generations.workers.reconciler",
                old="[each for each in found if each.request_id == submission.request_id]",
                new="list(found)",
            ),
        ),
        caught_by=("test_a21_an_answer_of_another_request_in_the_record_is_not_delivered",),
    ),
    Bug(
        number="33a",
        sentence="A file whose connection was closed counts as whole",
        changes=(
            ReplaceCode(
                module="generations.safe_http.client",
                within="stream",
                old='return "Transfer-Encoding" in response.headers or _content_length(response) is not None',
                new="return True",
            ),
        ),
        caught_by=(
            "test_c5_the_end_of_a_truncated_file_of_unknown_length_is_not_marked",
            "test_c5_a_file_cut_by_closing_the_connection_is_fetched_again",
            "test_c5_audio_that_may_be_cut_is_refused",
        ),
    ),
    Bug(
        number="33b",
        sentence="An MP4 file with a box that extends to the end of the file proves its end",
        changes=(
            ReplaceCode(
                module="generations.files.formats.mp4",
                old="length, has_open_box = reader.size_bytes - position, True",
                new="length = reader.size_bytes - position",
            ),
        ),
        caught_by=(
            "test_c5_the_end_of_another_file_is_not_proven",
            "test_c5_a_file_cut_by_closing_the_connection_is_fetched_again",
        ),
    ),
    Bug(
        number="33c",
        sentence="A server that does not tell the length of a file is taken to agree",
        changes=(
            ReplaceCode(
                module="generations.safe_http.client",
                within="is_whole",
                old='raise Unproven("the connection was closed, and the server does not tell how long the file is")',
                new="return True",
            ),
        ),
        caught_by=(
            "test_c5_a_second_question_tells_whether_a_file_is_whole",
            "test_c5_a_file_that_cannot_be_proven_now_waits_and_is_not_lost",
        ),
    ),
    Bug(
        number="33d",
        sentence="A file whose length the server does not tell counts as missing, and is lost after six attempts",
        changes=(
            ReplaceCode(
                module="generations.workers.copier",
                within="_copy",
                old="(http_client.Missing, Broken)",
                new="(http_client.Missing, Broken, storage.StoredOtherwise, http_client.Unproven)",
            ),
        ),
        caught_by=("test_c5_a_file_that_cannot_be_proven_now_waits_and_is_not_lost",),
    ),
)

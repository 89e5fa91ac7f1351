"""Files whose transfer ends because the connection is closed: complete ones and cut ones look alike.

Case C5 of docs/failure-modes.md. `tests/generations/files/test_inspection.py` tests which formats prove their end, and
`tests/generations/safe_http/test_transfers.py` what a server may answer to a question about the length.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from credits.models import Account
from generations.models import FailureCode, Generation, Output, Status
from generations.safe_http import client as http_client
from generations.workers import copier
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import FILES, film_with_long_boxes, picture, streamed_webm
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed
from tests.helpers.outages import let_patience_end
from tests.helpers.scripted_servers import Connection, respond, serving

pytestmark = pytest.mark.django_db(transaction=True)


def animated_gif() -> bytes:
    file = io.BytesIO()
    first = Image.open(io.BytesIO(picture("GIF", size=(300, 200)))).convert("RGB")
    first.save(file, "GIF", save_all=True, append_images=[first.rotate(30), first.rotate(60)], duration=100)
    return file.getvalue()


MESH = b"".join(b"v %d 1 1\n" % number for number in range(200))
PROVEN = {extension: FILES[extension] for extension in ("png", "jpg", "webp", "mp4", "webm", "glb", "usdz", "wav")}
UNPROVEN = {
    **{extension: FILES[extension] for extension in ("mp3", "ogg", "flac", "fbx")},
    "obj": MESH,
    "mtl": b"newmtl skin\n" + b"Kd 0.8 0.8 0.8\n" * 50,
    "mp4 with an open box": film_with_long_boxes(),
    "webm with an open segment": streamed_webm(),
}
# Cut in the middle, these are still accepted by their inspection.
CUT = {**UNPROVEN, "animated gif": animated_gif()}
ALL = {**PROVEN, **CUT}


class FileServer:
    """Serves one file without its length. It may cut the file, and refuse to tell the length."""

    def __init__(self, content: bytes, *, cuts: bool, tells: bool) -> None:
        self.content, self.cuts, self.tells = content, cuts, tells

    def answer(self, connection: Connection) -> None:
        if not connection.request.startswith(b"GET ") or b"\r\nRange: " in connection.request:
            lines = ["200 OK", f"Content-Length: {len(self.content)}"] if self.tells else ["403 Forbidden"]
            respond(*lines)(connection)
        else:
            respond("200 OK", body=self.content[: len(self.content) // (2 if self.cuts else 1)])(connection)


@pytest.fixture
def ordered_from(settings, order_answered_with: OrderAnsweredWith):
    """`with ordered_from(server) as generation`: fal has answered with a file of this server."""

    @contextmanager
    def order_from(server: FileServer) -> Iterator[Generation]:
        with serving(server.answer) as listening:
            settings.FAL_MEDIA_HOSTS = [listening.host]
            yield order_answered_with(f"{listening.url}/file")

    return order_from


def state_of(generation: Generation) -> tuple[str, str, int]:
    generation.refresh_from_db()
    output = generation.outputs.get()
    return generation.status, output.state, output.misses


WAITS = (Status.PROCESSING, Output.State.PENDING)


@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
def test_c5_a_file_cut_by_closing_the_connection_is_fetched_again(content: bytes, ordered_from, work: Work) -> None:
    server = FileServer(content, cuts=True, tells=True)
    with ordered_from(server) as generation:
        work.copy()
        assert state_of(generation) == (*WAITS, 1)

        server.cuts = False
        work.until_done(generation)

    assert generation.status == Status.COMPLETED
    assert generation.outputs.get().sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", CUT.values(), ids=CUT)
def test_without_a_second_question_a_cut_file_is_delivered(
    content: bytes, ordered_from, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(http_client, "is_whole", lambda *args, **limits: True)
    with ordered_from(FileServer(content, cuts=True, tells=True)) as generation:
        work.copy()

    assert state_of(generation) == (Status.COMPLETED, Output.State.STORED, 0)


@pytest.mark.parametrize("content", UNPROVEN.values(), ids=UNPROVEN)
def test_c5_a_file_that_cannot_be_proven_now_waits_and_is_not_lost(content: bytes, ordered_from, work: Work) -> None:
    """An attempt without an answer about the length is no miss."""
    server = FileServer(content, cuts=False, tells=False)
    with ordered_from(server) as generation:
        for _ in range(10):
            work.copy()
        assert state_of(generation) == (*WAITS, 0)

        server.tells = True
        work.copy()

    assert state_of(generation) == (Status.COMPLETED, Output.State.STORED, 0)


def test_c5_a_file_that_proves_its_end_needs_no_second_question(ordered_from, work: Work) -> None:
    for name, content in PROVEN.items():
        with ordered_from(FileServer(content, cuts=False, tells=False)) as generation:
            work.copy()

        assert state_of(generation) == (Status.COMPLETED, Output.State.STORED, 0), name


def test_c5_the_size_that_fal_announced_proves_the_end(ordered_from, work: Work) -> None:
    with ordered_from(FileServer(MESH, cuts=False, tells=False)) as generation:
        Output.objects.update(claimed_size_bytes=len(MESH))
        work.copy()

    assert state_of(generation) == (Status.COMPLETED, Output.State.STORED, 0)


def test_c5_a_file_that_is_never_proven_costs_nothing(ordered_from, alice: Account, work: Work) -> None:
    with ordered_from(FileServer(MESH, cuts=False, tells=False)) as generation:
        work.copy()
        Output.objects.update(give_up_at=just_passed())
        let_patience_end(copier.PATIENCE)
        work.copy()

    alice.refresh_from_db()
    generation.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.COPY_FAILED, 1000, 0)


# --- The faults of the simulator ---


@pytest.mark.parametrize("model, inputs", [("eleven-v3", {"text": "a fox"}), ("tripo-v2.5", {}), ("flux-schnell", {})])
@pytest.mark.parametrize(
    "fault, attempts", [("cdn:cut_nolenx1", 2), ("cdn:nolen", 1), ("cdn:cut_untoldx1", 2), ("cdn:untoldx1", 1)]
)
def test_c5_each_kind_of_file_of_the_simulator_is_delivered_whole(
    model: str, inputs: dict[str, str], fault: str, attempts: int, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault, "outputs:no_size")

    generation = work.until_done(order(model, **inputs))

    served = {file.sha256 for file in fal.log.files()}
    assert generation.status == Status.COMPLETED
    assert {output.sha256 for output in generation.outputs.all()} == served
    assert {output.attempts for output in generation.outputs.all()} == {attempts}

"""Alice and her key, and what she has ordered: by the facts that the lifecycle is told, without a worker."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from PIL import Image
from rest_framework.test import APIClient

from credits import accounts, ledger
from generations import api_keys, lifecycle, outbox, storage, subscriptions, wiring
from generations.api import streams
from generations.catalogue import find
from generations.fal import Receipt
from generations.lifecycle import StoredFile
from generations.models import Batch, Generation, Output
from simulator import Simulator
from tests.uploads.pictures import laid

GENERATIONS = "/api/v1/generations/"
CAT = {"model": "flux-schnell", "input": {"prompt": "a cat on the moon"}}


@pytest.fixture(autouse=True)
def nothing_is_left_over() -> Iterator[None]:
    """What one process remembers: how long models take, and connections to fal."""
    cache.clear()
    yield
    wiring.close()


@pytest.fixture(autouse=True)
def streams_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known now, and no waiting for what will happen: nobody here makes it happen."""
    monkeypatch.setattr(streams, "STREAM_SECONDS_MAX", 0)


class Customer(Protocol):
    def __call__(self, name: str, *, credits: int = 0, **rights: Any) -> User: ...


@pytest.fixture
def customer(db: None) -> Customer:
    """`customer("alice", credits=1000)`"""

    def make(name: str, *, credits: int = 0, **rights: Any) -> User:
        user = User.objects.create_user(name, password="correct horse", **rights)
        account = accounts.of(user)
        if credits:
            ledger.grant(account, credits, key=f"{name}:start", actor="test", reason="welcome")
        return user

    return make


@pytest.fixture
def alice(customer: Customer) -> User:
    return customer("alice", credits=1000)


@pytest.fixture
def bob(customer: Customer) -> User:
    """Somebody else."""
    return customer("bob", credits=1000)


@pytest.fixture
def staff(customer: Customer) -> User:
    return customer("staff", is_staff=True, is_superuser=True)


def key_of(user: User, *, scheme: str = "Token") -> APIClient:
    """A client with a fresh key of this user."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {api_keys.issue(user, 'test').plain}")
    return client


def read_to_the_end(response: Any) -> Any:
    """What nobody reads, nobody closes. Its bytes are in `body`."""
    response.body = b"".join(response) if response.streaming else response.content
    return response


@pytest.fixture
def api(alice: User) -> APIClient:
    """Alice's."""
    return key_of(alice)


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


@pytest.fixture
def patient_fal(fal: Simulator) -> Simulator:
    """A fal that takes everything, and neither ends nor calls."""
    fal.always("hold", "callback:lost")
    return fal


# --- Alice's orders ---

Ordering = Callable[..., Generation]


@pytest.fixture
def order(alice: User) -> Ordering:
    """`order("flux-schnell", num_images=2)`: not yet submitted."""

    def place(slug: str = "flux-schnell", *, user: User = alice, metadata: Any = None, **inputs: Any) -> Generation:
        model, asked = find(slug), {"prompt": "a cat", **inputs}
        wish = lifecycle.Order(model=model, inputs=model.read(asked), asked=asked, metadata=metadata or {})
        return lifecycle.order(accounts.of(user), wish, actor=f"user:{user.username}")[0]

    return place


@pytest.fixture
def batch(alice: User) -> Batch:
    """Two orders in one, not yet submitted."""
    model = find("flux-schnell")
    asked = [{"prompt": "a cat"}, {"prompt": "a dog"}]
    orders = [lifecycle.Order(model=model, inputs=model.read(inputs), asked=inputs) for inputs in asked]
    return lifecycle.order_batch(accounts.of(alice), lifecycle.BatchOrder(orders=orders), actor="user:alice")[0]


@pytest.fixture
def addresses(alice: User, completed: Ordering, batch: Batch) -> dict[str, Any]:
    """Alice's things, by the names that they have in the paths of the API."""
    generation = completed(metadata={"project": "moon"})
    endpoint = subscriptions.add(accounts.of(alice), "https://example.com/told")
    return {
        "generation_id": generation.pk,
        "output_id": generation.outputs.get().pk,
        "batch_id": batch.pk,
        "key_id": api_keys.issue(alice, "another").key.uid,
        "endpoint_id": endpoint.pk,
        "delivery_id": outbox.test(endpoint).pk,
        "upload_id": laid(alice).pk,
        "slug": "flux-schnell",
    }


@pytest.fixture
def running(order: Ordering) -> Ordering:
    """fal has it."""

    def place(*words: Any, **inputs: Any) -> Generation:
        generation = order(*words, **inputs)
        submission = lifecycle.submitting(generation)
        assert submission is not None
        name = f"request-{generation.pk}"
        lifecycle.submitted(submission, Receipt(request_id=name, status_url="", response_url="", cancel_url=""))
        generation.refresh_from_db()
        return generation

    return place


@pytest.fixture
def storing(running: Ordering) -> Ordering:
    """fal has answered; nothing is copied yet."""

    def place(*words: Any, num_images: int = 1, **inputs: Any) -> Generation:
        generation = running(*words, num_images=num_images, **inputs)
        images = [{"url": f"https://v3.fal.media/{index}.png"} for index in range(num_images)]
        # fal names the seed, also one that it has drawn itself.
        lifecycle.answered(generation.submissions.get(), {"images": images, "seed": inputs.get("seed", 42)})
        generation.refresh_from_db()
        return generation

    return place


@pytest.fixture
def completed(storing: Ordering) -> Ordering:
    """Its files lie in storage."""

    def place(*words: Any, **inputs: Any) -> Generation:
        generation = storing(*words, **inputs)
        for output in generation.outputs.all():
            store(output)
        generation.refresh_from_db()
        return generation

    return place


@pytest.fixture
def failed(running: Ordering) -> Ordering:
    def place(*words: Any, code: str = "content_policy", **inputs: Any) -> Generation:
        generation = running(*words, **inputs)
        why = lifecycle.failure(code, retryable=False, detail="fal said: forbidden fruit")  # type: ignore[arg-type]
        lifecycle.failed(generation, why, actor="fal")
        generation.refresh_from_db()
        return generation

    return place


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, "PNG")
    return file.getvalue()


def store(output: Output, content: bytes = b"", *, content_type: str = "image/png", kind: str = "image") -> Output:
    """As the copier does it."""
    content = content or picture()
    key = f"outputs/{output.pk}.png"
    storage.put(key, io.BytesIO(content), content_type=content_type)
    measured = storage.measure(key)
    file = StoredFile(
        key=key, kind=kind, content_type=content_type, size_bytes=measured.size_bytes, sha256=measured.sha256
    )
    lifecycle.stored(output, file)
    output.refresh_from_db()
    return output

"""The ways in which a submit goes wrong, and what fal has taken on all the same."""

from __future__ import annotations

import httpx
import pytest

from simulator import SCENARIO_TYPES, Simulator, UnknownScenario
from simulator.scenario_table import GARBAGE, REFUSALS
from tests.simulator.customer import FLUX, NO_TLS, Customer

EDIT = "fal-ai/flux-2/edit"

DROPPED = (httpx.RemoteProtocolError, httpx.ReadError)


@pytest.mark.parametrize("choice", REFUSALS)
def test_a_refused_submit_leaves_no_job(fal: Simulator, customer: Customer, choice: str) -> None:
    reply = customer.submit(f"[status:{choice}]")

    assert reply.status_code == int(choice[:3])
    assert fal.log.accepted() == []
    assert [post.outcome for post in fal.log.posts()] == [f"refused {choice[:3]}"]
    assert ("nginx" in reply.text) == (choice in {"502", "503-nginx", "504-nginx"})
    assert ("x-fal-request-id" in reply.headers) == (choice in {"500", "503", "504"})
    assert ("Retry-After" in reply.headers) == (choice == "429-retry-after")


def test_a_locked_account_is_told_so_in_fals_words(customer: Customer) -> None:
    detail = customer.submit("[status:403]").json()["detail"]

    assert detail.startswith("User is locked. Reason: Exhausted balance.")


@pytest.mark.parametrize(
    "word, outcome", [("drop_before_accept", "dropped"), ("reset", "reset"), ("drop_after_accept", "accepted")]
)
def test_a_dropped_submit_is_logged_for_what_it_was(
    fal: Simulator, customer: Customer, word: str, outcome: str
) -> None:
    with pytest.raises(DROPPED):
        customer.submit(f"[{word}]")

    assert [post.outcome for post in fal.log.posts()] == [outcome]
    assert len(fal.log.accepted()) == (outcome == "accepted")


def test_a_reset_is_a_reset(customer: Customer) -> None:
    with pytest.raises(httpx.ReadError, match=r"reset"):
        customer.submit("[reset]")


def test_a_hanging_submit_is_taken_all_the_same(fal: Simulator, customer: Customer) -> None:
    with pytest.raises(httpx.ReadTimeout):
        customer.submit("[hang_after_accept]", timeout=0.2)

    assert len(fal.log.accepted()) == 1


def test_a_slow_accept_is_taken_after_the_client_has_gone(fal: Simulator, customer: Customer) -> None:
    with pytest.raises(httpx.ReadTimeout):
        customer.submit("[slow_accept:60]", timeout=0.1)
    before = len(fal.log.accepted())

    assert fal.wait_until(fal.log.accepted, 5)
    assert before == 0


def test_a_dripping_answer_never_times_out_a_single_read(customer: Customer) -> None:
    request = customer.http.build_request("POST", f"/{FLUX}", json={"prompt": "a fox [drip]"})

    reply = customer.http.send(request, stream=True)

    first = next(reply.iter_raw(chunk_size=1))
    reply.close()
    assert (reply.status_code, first) == (200, b"{")


@pytest.mark.parametrize("choice", GARBAGE)
def test_a_garbled_answer_hides_a_job_that_runs(fal: Simulator, customer: Customer, choice: str) -> None:
    reply = customer.submit(f"[garbage200:{choice}]")

    (request,) = fal.log.accepted()
    useless = {
        "json": not reply.text.endswith("}"),
        "html": "<h1>" in reply.text,
        "no_request_id": '"request_id"' not in reply.text,
        "big": len(reply.content) > 10_000_000,
        "wrong_host": f"{fal.canary_url}/fal-ai/flux/requests/{request.request_id}/status" in reply.text,
    }
    assert reply.status_code == 200
    assert useless[choice]


def test_a_redirect_leads_to_the_canary_which_sees_who_follows(fal: Simulator, customer: Customer) -> None:
    reply = customer.submit("[redirect]")

    assert (reply.status_code, fal.log.visits()) == (307, [])
    httpx.post(reply.headers["Location"], headers={"Authorization": "Key leaked"}, trust_env=False, verify=NO_TLS)
    assert [visit.headers["authorization"] for visit in fal.log.visits()] == ["Key leaked"]


def test_a_redirect_can_name_its_target(customer: Customer) -> None:
    reply = customer.submit("[redirect:127.0.0.1:9]")

    assert reply.headers["Location"] == f"http://127.0.0.1:9/{FLUX}"


def test_a_fault_can_be_limited_to_the_first_times(customer: Customer) -> None:
    statuses = [customer.submit("[status:429x2]").status_code for _ in range(3)]

    assert statuses == [429, 429, 200]


def test_an_address_that_is_signed_anew_is_the_same_wish(customer: Customer) -> None:
    addresses = [f"https://example.com/{name}?X-Amz-Signature={n}" for name in ("fox", "cat") for n in range(2)]
    edits = [customer.submit("[status:429x1]", endpoint=EDIT, inputs={"image_urls": [url]}) for url in addresses]

    assert [edit.status_code for edit in edits] == [429, 200, 429, 200]


def test_a_script_is_for_the_next_submits_only(fal: Simulator, customer: Customer) -> None:
    fal.script("status:503", times=2)
    fal.script("[status:402]")

    assert [customer.submit().status_code for _ in range(4)] == [503, 503, 402, 200]


def test_always_lasts_until_cleared(fal: Simulator, customer: Customer) -> None:
    fal.always("status:500")
    before = [customer.submit().status_code for _ in range(2)]

    fal.clear()

    assert (before, customer.submit().status_code) == ([500, 500], 200)


def test_a_header_orders_scenarios_too(customer: Customer) -> None:
    assert customer.submit(headers={"X-Simulator-Scenario": "status:409"}).status_code == 409


def test_an_unknown_scenario_is_an_error_but_in_a_prompt_it_is_text(fal: Simulator, customer: Customer) -> None:
    reply = customer.submit(headers={"X-Simulator-Scenario": "explode"})

    assert (reply.status_code, "no scenario “explode”" in reply.json()["detail"]) == (400, True)
    assert customer.submit("[explode] [slow:soon] [fail:banana]").status_code == 200
    with pytest.raises(UnknownScenario, match="explode"):
        fal.script("explode")


def test_an_address_can_hold_a_scenario_for_models_without_a_prompt(customer: Customer) -> None:
    url = "https://example.com/%5Bstatus:503%5D/fox.png"

    assert customer.submit(endpoint="tripo3d/tripo/v2.5/image-to-3d", inputs={"image_url": url}).status_code == 503


def test_every_word_has_a_sentence() -> None:
    sentences = [word.sentence for word in SCENARIO_TYPES] + [
        text for word in SCENARIO_TYPES for text in word.choices.values()
    ]

    assert all(sentence.endswith(".") for sentence in sentences)

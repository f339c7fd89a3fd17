"""Rented machines as callers see them; `test_api_credentials.py` holds the same routes closed to others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental, RentalState
from tests.builders import JOB_ID, FakeClock, after, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    RENTAL,
    Response,
    a_problem,
    a_refusal,
    a_rental_record,
    a_wrong_field,
    ask,
    assert_problem,
    get,
    post,
    put_rentals,
    the_rental_store,
)
from tests.rental_builders import (
    ALIVE,
    CONTRACT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental,
    a_kept_rental_of,
    a_releasing_rental,
    a_rental,
    a_running_rental,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

LATER = 1800.0
EXTEND = f"{RENTAL}/extend"
NOT_FOUND = a_problem(404, "rental_not_found", f"There is no rental '{RENTAL_ID}'.")
ENDING = a_problem(409, "rental_ending", f"Rental '{RENTAL_ID}' is being given back.")
ENDED = a_problem(409, "rental_ending", f"Rental '{RENTAL_ID}' has been given back.")
IN_USE = a_problem(
    409,
    "rental_in_use",
    f"Job '{OTHER_JOB_ID}' uses rental '{RENTAL_ID}': cancel the job, or wait until it ends.",
)
RELEASING = a_rental_record(state="releasing", kept_until=None, end_reason="caller_ended")
HELD = [RentalState.INTENDED, RentalState.CREATED, RentalState.RUNNING]


@pytest.fixture(autouse=True)
def half_an_hour_later(clock: FakeClock) -> None:
    """Let a machine have cost something."""
    clock.advance(LATER)


def delete(api: ModuleType) -> Response:
    return ask(api, an_http_event("DELETE", RENTAL))


def extend(api: ModuleType, seconds: object = 7200) -> Response:
    return post(api, {"keep_seconds": seconds}, path=EXTEND)


ACTS: dict[str, Callable[[ModuleType], Response]] = {
    "get": lambda api: get(api, RENTAL),
    "delete": delete,
    "extend": extend,
}

# What became of it so far, by state: the machine was never seen before it is `running`.
NEVER_SEEN = {"model": None, "backend_url": None, "kept_until": None, "used_by_job_id": JOB_ID}
RECORDS: dict[RentalState, dict[str, object]] = {
    RentalState.INTENDED: a_rental_record(state="intended", **NEVER_SEEN, contract_id=None, cost_usd=0.0),
    # Half an hour of the disk, and the image of 2 GB. Whether its GPU is billed yet is not known.
    RentalState.CREATED: a_rental_record(state="created", **NEVER_SEEN, cost_usd=0.012),
    RentalState.RUNNING: a_rental_record(state="running", used_by_job_id=JOB_ID, kept_until=None),
    RentalState.KEPT: a_rental_record(),
    RentalState.RELEASING: a_rental_record(
        state="releasing", used_by_job_id=JOB_ID, kept_until=None, end_reason="job_ended"
    ),
}


# ---------------------------------------------------------------- list and get


def test_list_is_empty_before_anything_is_rented(api: ModuleType, cloud: Cloud) -> None:
    response = get(api, "/v1/rentals")

    assert (response.status, response.document) == (200, {"rentals": [], "next_cursor": None})
    assert cloud.operations == ["GetItem", "Query"]


def test_list_is_own_machines_that_may_bill_oldest_first_in_three_calls(
    api: ModuleType, cloud: Cloud
) -> None:
    younger = a_kept_rental_of("f" * 32, intended_at=after(60))
    oldest = a_kept_rental_of("e" * 32, attempt=2, intended_at=after(-60))
    put_rentals(cloud, younger, a_kept_rental(), oldest, a_kept_rental_of("d" * 32, tenant="acme"))

    response = get(api, "/v1/rentals")

    ids = [record["rental_id"] for record in response.document["rentals"]]
    assert (response.status, ids) == (200, [oldest.rental_id, RENTAL_ID, younger.rental_id])
    assert response.document["rentals"][1] == a_rental_record()
    assert cloud.operations == ["GetItem", "Query", "BatchGetItem"]


@pytest.mark.slow
def test_list_is_whole_when_there_are_more_than_one_read_holds(api: ModuleType, cloud: Cloud) -> None:
    rentals = [a_kept_rental_of(f"{number:032x}", intended_at=after(number)) for number in range(105)]
    put_rentals(cloud, *rentals)

    records = get(api, "/v1/rentals").document["rentals"]

    assert [record["rental_id"] for record in records] == [rental.rental_id for rental in rentals]


@pytest.mark.parametrize("state", ALIVE)
def test_machine_is_shown_in_every_state_alone_and_in_the_list(
    state: RentalState, api: ModuleType, cloud: Cloud
) -> None:
    put_rentals(cloud, ALIVE[state]())

    alone = get(api, RENTAL)

    assert (alone.status, alone.document) == (200, RECORDS[state])
    assert cloud.operations == ["GetItem", "BatchGetItem"]
    assert get(api, "/v1/rentals").document == {"rentals": [RECORDS[state]], "next_cursor": None}


def test_end_of_a_machine_is_not_shown_while_a_job_has_it(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_running_rental(holder=OTHER_JOB_ID, kept_until=after(3600)))

    assert get(api, RENTAL).document == a_rental_record(
        state="running", used_by_job_id=OTHER_JOB_ID, kept_until=None
    )


def test_cost_rises_with_time(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    put_rentals(cloud, a_kept_rental())
    before = get(api, RENTAL).document["cost_usd"]

    clock.advance(3600)

    assert get(api, RENTAL).document["cost_usd"] == pytest.approx(before + 0.372)


# ---------------------------------------------------------------- delete


def test_delete_gives_a_kept_machine_back(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_kept_rental())

    response = delete(api)

    assert (response.status, response.document) == (202, RELEASING)
    assert cloud.operations == ["GetItem", "BatchGetItem", "UpdateItem", "SendMessage"]
    assert the_rental_store(cloud).read(RENTAL_ID) == a_kept_rental(
        state=RentalState.RELEASING,
        version=7,
        updated_at=after(LATER),
        end_reason=EndReason.CALLER_ENDED,
        release_asked_at=after(LATER),
    )


def test_delete_answers_the_same_when_it_comes_again(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_kept_rental())

    responses = [delete(api) for _ in range(3)]

    assert [(each.status, each.document) for each in responses] == [(202, RELEASING)] * 3
    assert cloud.operations.count("UpdateItem") == 1


def test_delete_is_answered_when_the_janitor_was_first(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_releasing_rental(end_reason=EndReason.EXPIRED, holder=None))

    response = delete(api)

    assert (response.status, response.document) == (202, {**RELEASING, "end_reason": "expired"})
    assert the_rental_store(cloud).read(RENTAL_ID) == a_releasing_rental(
        end_reason=EndReason.EXPIRED, holder=None
    )


# ---------------------------------------------------------------- extend


@pytest.mark.parametrize(
    ("seconds", "kept_until"),
    [
        (60, "2026-11-23T12:31:00Z"),
        (7200, "2026-11-23T14:30:00Z"),
        (16_200, "2026-11-23T17:00:00Z"),
    ],
    ids=["sooner", "later", "to its ceiling"],
)
def test_extend_keeps_a_machine_for_so_long_from_now(
    seconds: int, kept_until: str, api: ModuleType, cloud: Cloud
) -> None:
    put_rentals(cloud, a_kept_rental())

    response = extend(api, seconds)

    assert (response.status, response.document) == (200, a_rental_record(kept_until=kept_until))
    assert cloud.operations == ["GetItem", "BatchGetItem", "UpdateItem"]
    assert get(api, RENTAL).document == response.document


@pytest.mark.parametrize("seconds", [16_201, 604_800])
def test_extend_is_refused_beyond_the_ceiling(seconds: int, api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_kept_rental())

    sentence = "This machine can be kept until 2026-11-23T17:00:00Z at the latest."
    assert_problem(extend(api, seconds), a_refusal("keep_seconds_too_long", "/keep_seconds", sentence))
    assert the_rental_store(cloud).read(RENTAL_ID) == a_kept_rental()


NO_INTEGER = "Input should be a valid integer; you sent "
LEAST, MOST = "greater than or equal to 60", "less than or equal to 604800"
WRONG: dict[str, tuple[object, dict[str, object]]] = {
    "nothing": ({}, a_wrong_field("/keep_seconds", "This field is needed.")),
    "too short": (
        {"keep_seconds": 59},
        a_wrong_field("/keep_seconds", f"Input should be {LEAST}; you sent 59."),
    ),
    "too long": (
        {"keep_seconds": 604_801},
        a_wrong_field("/keep_seconds", f"Input should be {MOST}; you sent 604801."),
    ),
    "text": (
        {"keep_seconds": "60"},
        a_wrong_field("/keep_seconds", NO_INTEGER + "a text. Write the number without quotes."),
    ),
    "flag": ({"keep_seconds": True}, a_wrong_field("/keep_seconds", NO_INTEGER + "true.")),
    "null": ({"keep_seconds": None}, a_wrong_field("/keep_seconds", NO_INTEGER + "null.")),
    "another field": (
        {"keep_seconds": 60, "until": "2026-11-23T17:00:00Z"},
        a_wrong_field("/until", "There is no such field. There are: keep_seconds."),
    ),
}


@pytest.mark.parametrize(("body", "problem"), WRONG.values(), ids=WRONG.keys())
def test_extend_says_what_is_wrong_and_touches_nothing(
    body: object, problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    put_rentals(cloud, a_kept_rental())

    assert_problem(post(api, body, path=EXTEND), problem)
    assert cloud.calls == []


# ---------------------------------------------------------------- the key of its server

KEY = "of-this-machine"


def put_guarded(cloud: Cloud, rental: Rental) -> None:
    assert the_rental_store(cloud).open(replace(rental, is_guarded=True, is_open=False), key=KEY)
    cloud.calls.clear()


def tell_key(api: ModuleType) -> Response:
    return ask(api, an_http_event("POST", f"{RENTAL}/key"))


@pytest.mark.parametrize("state", [*HELD, RentalState.KEPT])
def test_key_of_an_own_machine_is_told_and_kept_by_no_cache(
    state: RentalState, api: ModuleType, cloud: Cloud
) -> None:
    rental = ALIVE[state]()
    put_guarded(cloud, rental)

    response = tell_key(api)

    assert (response.status, response.headers["cache-control"]) == (200, "no-store")
    assert response.document == {
        "rental_id": RENTAL_ID,
        "backend_url": rental.url,
        "key": KEY,
        "authorization": f"Bearer {KEY}",
    }


def test_key_is_in_no_other_answer_and_in_no_log(
    api: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put_guarded(cloud, a_kept_rental())

    tell_key(api)

    for act in ("get", "extend", "delete"):
        assert KEY not in str(ACTS[act](api))
    assert KEY not in str(get(api, "/v1/rentals"))
    assert KEY not in caplog.text


def test_key_of_another_tenants_machine_is_not_found(api: ModuleType, cloud: Cloud) -> None:
    put_guarded(cloud, a_kept_rental(tenant="acme"))

    assert_problem(tell_key(api), NOT_FOUND)


def test_open_machine_has_no_key(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_kept_rental())

    sentence = f"The server of rental '{RENTAL_ID}' asks for no key."
    assert_problem(tell_key(api), a_problem(409, "rental_has_no_key", sentence))


def test_key_of_a_machine_that_is_given_back_is_told_no_more(api: ModuleType, cloud: Cloud) -> None:
    put_guarded(cloud, a_releasing_rental())

    assert_problem(tell_key(api), ENDING)


# ---------------------------------------------------------------- refused by what the rental is


@pytest.mark.parametrize("act", ["delete", "extend"])
@pytest.mark.parametrize("state", HELD)
def test_machine_that_a_job_uses_is_left_to_it(
    state: RentalState, act: str, api: ModuleType, cloud: Cloud
) -> None:
    rental = ALIVE[state](holder=OTHER_JOB_ID)
    put_rentals(cloud, rental)

    assert_problem(ACTS[act](api), IN_USE)
    assert the_rental_store(cloud).read(RENTAL_ID) == rental


def test_machine_that_is_given_back_is_not_kept_longer(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_kept_rental())
    delete(api)

    assert_problem(extend(api), ENDING)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_machine_that_never_was_is_not_found(
    act: Callable[[ModuleType], Response], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(act(api), NOT_FOUND)
    assert cloud.operations == ["GetItem", "BatchGetItem"]


def put_gone(cloud: Cloud, *rentals: Rental, ended_after: float = 355) -> None:
    """Write rentals that are proven gone, each ten seconds after the one before."""
    for number, rental in enumerate(rentals):
        put_rentals(cloud, rental)
        gone_at = after(ended_after + 10 * number)
        assert isinstance(
            the_rental_store(cloud).update(rental, lifecycle.prove_release(rental, gone_at, gone_at)), Rental
        )
    cloud.calls.clear()


# 355 s of disk, 295 s of GPU, and 6.9 GB.
GONE = a_rental_record(
    state="released",
    kept_until=None,
    cost_usd=0.001184 + 0.0295 + 0.0207,
    released_at="2026-11-23T12:05:55Z",
    end_reason="job_ended",
)


def test_machine_that_is_proven_gone_is_shown_with_its_whole_bill_for_30_days(
    api: ModuleType, cloud: Cloud, clock: FakeClock
) -> None:
    put_gone(cloud, a_releasing_rental())

    assert get(api, RENTAL).document == {**GONE, "cost_usd": pytest.approx(GONE["cost_usd"])}
    listed = get(api, "/v1/rentals?state=released").document
    assert ([each["rental_id"] for each in listed["rentals"]], listed["next_cursor"]) == ([RENTAL_ID], None)
    assert get(api, "/v1/rentals").document == {"rentals": [], "next_cursor": None}

    clock.advance(30 * 86_400)
    assert_problem(get(api, RENTAL), NOT_FOUND)
    assert get(api, "/v1/rentals?state=released").document["rentals"] == []


def test_order_that_made_no_machine_is_not_shown(api: ModuleType, cloud: Cloud) -> None:
    put_gone(cloud, a_rental())

    assert_problem(get(api, RENTAL), NOT_FOUND)
    assert get(api, "/v1/rentals?state=released").document["rentals"] == []
    assert get(api, f"/v1/rentals?job_id={JOB_ID}").document["rentals"] == []


def test_ended_machines_are_listed_newest_first_a_page_at_a_time(api: ModuleType, cloud: Cloud) -> None:
    names = [f"{number:032x}" for number in (3, 1, 2, 5, 4)]
    put_gone(cloud, *(a_kept_rental_of(name) for name in names))
    put_gone(cloud, a_kept_rental_of("d" * 32, tenant="acme"))

    pages, cursor = [], ""
    for _ in range(3):
        page = get(api, f"/v1/rentals?state=released&limit=2{cursor}").document
        pages.append([each["job_id"] for each in page["rentals"]])
        cursor = f"&cursor={page['next_cursor']}"

    assert pages == [[names[4], names[3]], [names[2], names[1]], [names[0]]]
    assert cursor == "&cursor=None"


@pytest.mark.parametrize("query", ["", "&state=kept", "&state=released", f"&job_id={JOB_ID}"])
def test_cursor_that_was_never_given_out_is_refused_whatever_is_listed(query: str, api: ModuleType) -> None:
    sentence = "The cursor is not one that this API gave out."
    problem = a_problem(422, "invalid_request", sentence, ("/cursor", sentence))

    assert_problem(get(api, f"/v1/rentals?cursor=garbage{query}"), problem)


def test_machine_that_turned_up_again_is_listed_once_and_by_its_last_end(
    api: ModuleType, cloud: Cloud
) -> None:
    put_gone(cloud, a_releasing_rental())
    store = the_rental_store(cloud)
    gone = store.read(RENTAL_ID)
    assert gone
    again = store.update(gone, lifecycle.reopen(gone, CONTRACT_ID, after(900)))
    assert get(api, "/v1/rentals?state=released").document["rentals"] == []

    assert isinstance(again, Rental)
    store.update(again, lifecycle.prove_release(again, after(1000), after(1000)))

    (listed,) = get(api, "/v1/rentals?state=released").document["rentals"]
    assert listed["released_at"] == "2026-11-23T12:16:40Z"


@pytest.mark.parametrize("state", ["kept", "running", "releasing"])
def test_list_of_one_state_holds_that_state_alone(state: str, api: ModuleType, cloud: Cloud) -> None:
    of_states = (a_kept_rental(), a_running_rental(), a_releasing_rental())
    names = [f"{number:032x}" for number in range(3)]
    rentals = [
        replace(rental, rental_id=f"{name}-1", job_id=name)
        for name, rental in zip(names, of_states, strict=True)
    ]
    put_rentals(cloud, *rentals)

    listed = get(api, f"/v1/rentals?state={state}").document["rentals"]

    assert [each["state"] for each in listed] == [state]


def test_list_of_a_job_holds_all_that_it_rented_in_any_state(api: ModuleType, cloud: Cloud) -> None:
    put_gone(cloud, a_releasing_rental())
    put_rentals(cloud, a_kept_rental_of(JOB_ID, attempt=2), a_kept_rental_of("e" * 32))
    cloud.calls.clear()

    listed = get(api, f"/v1/rentals?job_id={JOB_ID}").document["rentals"]

    assert [(each["rental_id"], each["state"]) for each in listed] == [
        (RENTAL_ID, "released"),
        (f"{JOB_ID}-2", "kept"),
    ]
    assert get(api, f"/v1/rentals?job_id={JOB_ID}", OF_ACME, token=ACMES_TOKEN).document["rentals"] == []
    assert get(api, "/v1/rentals?job_id=%00").document["rentals"] == []


def test_ended_machine_is_ended_already_and_cannot_be_kept_longer(api: ModuleType, cloud: Cloud) -> None:
    put_gone(cloud, a_releasing_rental())

    ended = delete(api)

    assert (ended.status, ended.document["state"]) == (202, "released")
    assert_problem(extend(api), ENDED)


def test_list_holds_nothing_of_another_tenant(api: ModuleType, cloud: Cloud) -> None:
    put_rentals(cloud, a_kept_rental())

    assert get(api, "/v1/rentals", OF_ACME, token=ACMES_TOKEN).document == {
        "rentals": [],
        "next_cursor": None,
    }


ODD_IDS = ["\0", "..", "a b", "é", "a" * 65, "a" * 5000, "'", f"{JOB_ID}-01", f"{JOB_ID}-", JOB_ID, "{}"]


@pytest.mark.parametrize("rental_id", ODD_IDS, ids=lambda value: repr(value[:20]))
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("POST", "/extend")])
def test_id_that_is_no_rentals_is_a_problem_of_one_sentence(
    rental_id: str, method: str, tail: str, api: ModuleType, cloud: Cloud
) -> None:
    put_rentals(cloud, a_kept_rental())
    body = {"keep_seconds": 60} if method == "POST" else None

    response = ask(api, an_http_event(method, f"/v1/rentals/{rental_id}{tail}", body))

    assert (response.status, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.document["code"] == "rental_not_found"
    assert len(json.dumps(response.document)) < 600

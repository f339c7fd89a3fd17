from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.rentals import lifecycle
from rune.rentals.public_events import destroyed_machine, keep_events_until, rental_event
from rune.rentals.record import EndReason, Rental
from rune.storage.change import Change, apply
from tests.builders import JOB_ID, NOW, TENANT, after
from tests.rental_builders import (
    CONTRACT_ID,
    MODEL,
    OTHER_JOB_ID,
    RENTAL_ID,
    URL,
    a_created_rental,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
)

OF_RENTAL = {
    "rental_id": RENTAL_ID,
    "job_id": JOB_ID,
    "contract_id": CONTRACT_ID,
    "gpu_name": "RTX 4090",
    "gpu_count": 1,
    "vram_mb": 24_564,
    "place": "Sweden, SE",
    "price_usd_per_hour": 0.372,
    "rented_at": "2026-11-23T12:00:00Z",
    "rental_url": f"/v1/rentals/{RENTAL_ID}",
}


def told(before: Rental, change: Change) -> PublicEvent:
    event = rental_event(before, change)
    assert event is not None
    assert event.sequence == apply(change, before).version
    assert event.occurred_at == change.sets["updated_at"]
    assert (event.tenant, event.subject) == (TENANT, Subject(SubjectKind.RENTAL, RENTAL_ID))
    return event


def test_rental_is_rented_when_its_contract_is_named() -> None:
    event = told(a_rental(), lifecycle.note_contract(a_rental(), CONTRACT_ID, after(3)))

    assert (event.event_type, event.sequence) == ("rune.rental.rented", 2)
    assert event.event_id == f"evt_rental_{RENTAL_ID}_2"
    assert event.data == {**OF_RENTAL, "ceiling_at": "2026-11-23T17:00:00Z"}


def test_rental_is_rented_when_a_machine_is_found_that_is_given_up_at_once() -> None:
    rental = a_rental()
    change = lifecycle.ask_release(rental, EndReason.CREATE_LOST, after(90), contract_id=CONTRACT_ID)

    assert told(rental, change).event_type == "rune.rental.rented"
    assert rental_event(rental, lifecycle.ask_release(rental, EndReason.CREATE_LOST, after(90))) is None


def test_rental_is_running_once_its_server_answers() -> None:
    rental = a_created_rental(is_guarded=True)
    event = told(rental, lifecycle.note_running(rental, URL, after(60), is_open=False))

    assert event.event_type == "rune.rental.running"
    assert event.data == {**OF_RENTAL, "used_by_job_id": JOB_ID, "is_open_to_the_world": False}
    running = a_running_rental()
    assert rental_event(running, lifecycle.note_running(running, URL, after(61))) is None


def test_rental_is_running_when_another_job_takes_it() -> None:
    event = told(a_kept_rental(), lifecycle.take_kept(a_kept_rental(), OTHER_JOB_ID, after(700)))

    assert (event.event_type, event.data["used_by_job_id"]) == ("rune.rental.running", OTHER_JOB_ID)


def test_rental_is_kept_when_its_job_leaves_it() -> None:
    event = told(a_running_rental(), lifecycle.keep(a_running_rental(), after(3600), after(300)))

    assert event.event_type == "rune.rental.kept"
    assert event.data == {
        **OF_RENTAL,
        "kept_until": "2026-11-23T13:00:00Z",
        "is_open_to_the_world": True,
    }


def test_rental_is_kept_again_when_a_borrower_gives_it_back() -> None:
    borrowed = a_running_rental(holder=OTHER_JOB_ID, kept_until=after(7200))

    assert told(borrowed, lifecycle.give_back(borrowed, after(900))).event_type == "rune.rental.kept"


def test_rental_is_gone_with_its_whole_bill() -> None:
    rental = a_releasing_rental()
    change = lifecycle.prove_release(rental, after(355), after(360))
    event = told(rental, change)

    gone = apply(change, rental)
    assert gone.cost_micro_usd
    assert event.event_type == "rune.rental.gone"
    assert event.data == {
        **OF_RENTAL,
        "released_at": "2026-11-23T12:05:55Z",
        "end_reason": gone.end_reason,
        "cost_usd": gone.cost_micro_usd / 1_000_000,
    }


def test_nothing_is_told_of_an_order_that_made_no_machine() -> None:
    change = lifecycle.prove_release(a_rental(), after(2), after(2), EndReason.OFFER_GONE)

    assert rental_event(a_rental(), change) is None


@pytest.mark.parametrize("contract_id", [CONTRACT_ID, None])
def test_machine_that_turns_up_again_is_rented_again(contract_id: int | None) -> None:
    rental = a_released_rental(contract_id=contract_id)

    assert told(rental, lifecycle.reopen(rental, CONTRACT_ID, after(900))).event_type == "rune.rental.rented"


QUIET: tuple[tuple[Rental, Change], ...] = (
    (a_created_rental(), lifecycle.note_seen_running(a_created_rental(), after(20), after(21))),
    (a_running_rental(), lifecycle.note_pulled(a_running_rental(), MODEL, 4_900_000_000, after(120))),
    (a_kept_rental(), lifecycle.extend(a_kept_rental(), after(7200), after(600))),
    (a_running_rental(), lifecycle.ask_release(a_running_rental(), EndReason.JOB_ENDED, after(300))),
    (a_releasing_rental(), lifecycle.note_destroyed(a_releasing_rental(), after(310), is_taken=True)),
)


@pytest.mark.parametrize(("rental", "change"), QUIET, ids=[change.name for _, change in QUIET])
def test_nothing_is_told_of_what_changes_no_state_that_others_know(rental: Rental, change: Change) -> None:
    assert rental_event(rental, change) is None


def test_event_tells_neither_address_nor_label_nor_host() -> None:
    rental = replace(
        a_running_rental(), url="http://203.0.113.7:40123", label="rune-secret", end_detail="why"
    )
    texts = [
        json.dumps(told(before, change).data)
        for before, change in (
            (rental, lifecycle.keep(rental, after(3600), after(300))),
            (rental, lifecycle.prove_release(rental, after(355), after(360), EndReason.VANISHED, "detail")),
        )
    ]

    assert [text for text in texts if any(each in text for each in ("203.0.113", "secret", "detail"))] == []


def test_events_of_a_rental_stay_for_thirty_days_after_the_last() -> None:
    early = told(a_rental(), lifecycle.note_contract(a_rental(), CONTRACT_ID, after(3)))
    late = replace(early, occurred_at=after(90_000))

    assert keep_events_until(a_rental(), early) == a_rental().ceiling_at + lifecycle.REMEMBERED
    assert keep_events_until(a_rental(), late) == after(90_000) + lifecycle.REMEMBERED


@pytest.mark.parametrize(("has_rental", "reason"), [(True, "second_machine"), (False, "no_rental")])
def test_machine_that_is_no_rentals_own_is_told_of_by_its_contract(has_rental: bool, reason: str) -> None:
    event = destroyed_machine(CONTRACT_ID, RENTAL_ID, TENANT, NOW, has_rental=has_rental)

    assert event == PublicEvent(
        "rune.machine.destroyed",
        TENANT,
        Subject(SubjectKind.MACHINE, str(CONTRACT_ID)),
        1,
        NOW,
        {
            "contract_id": CONTRACT_ID,
            "rental_id": RENTAL_ID,
            "reason": reason,
            "found_at": "2026-11-23T12:00:00Z",
        },
    )

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.record import make_rental_id, parse_rental_id
from tests.builders import JOB_ID, after
from tests.rental_builders import (
    a_created_rental,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
)

job_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
attempts = st.integers(1, 9999)


@given(job_ids, attempts)
def test_rental_id_tells_job_and_attempt(job_id: str, attempt: int) -> None:
    assert parse_rental_id(make_rental_id(job_id, attempt)) == (job_id, attempt)


@pytest.mark.parametrize("rental_id", ["", JOB_ID, f"{JOB_ID}-", f"{JOB_ID}-x", f"{JOB_ID}-1\n", "a-1"])
def test_parse_rental_id_reads_nothing_from_what_is_none(rental_id: str) -> None:
    assert parse_rental_id(rental_id) is None


def test_rental_was_seen_once_a_listing_showed_it() -> None:
    assert not a_rental().was_seen
    assert not a_created_rental().was_seen
    assert a_created_rental(last_seen_stopped_at=a_running_rental().last_seen_stopped_at).was_seen
    assert a_running_rental(last_seen_stopped_at=None).was_seen


def test_rental_is_alive_until_it_is_proven_gone() -> None:
    made = (a_rental, a_created_rental, a_running_rental, a_kept_rental, a_releasing_rental)

    assert all(make().is_alive for make in made)
    assert not a_released_rental().is_alive


@pytest.mark.parametrize(
    ("has_script", "seen_at", "destroys_itself"),
    [(False, None, False), (True, None, None), (True, after(120), True)],
)
def test_machine_is_said_to_destroy_itself_only_where_that_was_shown(
    has_script: bool, seen_at: datetime | None, destroys_itself: bool | None
) -> None:
    rental = a_running_rental(has_self_destruct=has_script, self_destruct_seen_at=seen_at)

    assert rental.destroys_itself is destroys_itself

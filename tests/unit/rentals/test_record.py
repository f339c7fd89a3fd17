import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.record import LabelParts, make_label, make_rental_id, parse_label, parse_rental_id
from tests.builders import JOB_ID
from tests.rental_builders import (
    a_created_rental,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
)

stages = st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True)
job_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
attempts = st.integers(1, 9999)


@given(stages, job_ids, attempts)
def test_label_tells_stage_job_and_attempt(stage: str, job_id: str, attempt: int) -> None:
    parts = parse_label(make_label(stage, job_id, attempt))

    assert parts == LabelParts(stage, job_id, attempt)
    assert parts.rental_id == make_rental_id(job_id, attempt)


@given(stages, stages, job_ids, attempts)
def test_label_of_one_stage_is_never_read_as_anothers(
    stage: str, other: str, job_id: str, attempt: int
) -> None:
    parts = parse_label(make_label(stage, job_id, attempt))

    assert parts is not None
    assert (parts.stage == other) is (stage == other)


@given(job_ids, attempts)
def test_rental_id_tells_job_and_attempt(job_id: str, attempt: int) -> None:
    assert parse_rental_id(make_rental_id(job_id, attempt)) == (job_id, attempt)


@pytest.mark.parametrize(
    "label",
    [
        None,
        "",
        "my-training-box",
        f"rune--{JOB_ID}-1",
        f"rune-{JOB_ID}-1",
        f"rune-local-{JOB_ID}",
        f"rune-local-{JOB_ID}-",
        f"rune-local-{JOB_ID}-12345",
        f"rune-local-{JOB_ID}-1 ",
        f"rune-local-{JOB_ID}-1\n",
        f" rune-local-{JOB_ID}-1",
        f"xrune-local-{JOB_ID}-1",
        f"RUNE-local-{JOB_ID}-1",
        f"rune-local-{JOB_ID.upper()}-1",
        f"rune-local-{JOB_ID[1:]}-1",
        f"rune-local-{JOB_ID}-٣",
    ],
)
def test_parse_label_reads_nothing_from_a_strangers_label(label: str | None) -> None:
    assert parse_label(label) is None


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

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.deployment import make_deployment_id
from rune.rentals.labels import LabelParts, make_label, parse_label
from rune.rentals.record import make_rental_id
from tests.builders import JOB_ID
from tests.rental_builders import an_old_label

LONGEST_KNOWN_GOOD = 60
"""Of labels that a production client of the provider has used."""

stages = st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True)
deployment_ids = st.text("0123456789abcdef", min_size=10, max_size=10)
job_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
attempts = st.integers(1, 9999)


@given(st.sampled_from(["local", "dev", "prod", "eu-west"]), deployment_ids, job_ids, attempts)
def test_label_tells_stage_deployment_job_and_attempt(
    stage: str, deployment_id: str, job_id: str, attempt: int
) -> None:
    parts = parse_label(make_label(stage, deployment_id, job_id, attempt))

    assert parts == LabelParts(stage, deployment_id, job_id, attempt)
    assert parts.rental_id == make_rental_id(job_id, attempt)


@given(stages, stages, deployment_ids, deployment_ids)
def test_label_of_one_deployment_is_never_read_as_anothers(
    stage: str, other_stage: str, deployment_id: str, other_id: str
) -> None:
    label = make_label(stage, deployment_id, JOB_ID, 1)
    other = make_label(other_stage, other_id, JOB_ID, 1)
    parts, other_parts = parse_label(label), parse_label(other)

    assert parts is not None
    assert other_parts is not None
    assert (parts.deployment_id == other_parts.deployment_id) is (deployment_id == other_id)


@given(st.sampled_from(["local", "dev", "prod", "eu-west"]), job_ids, attempts)
def test_label_of_an_earlier_version_tells_all_but_the_deployment(
    stage: str, job_id: str, attempt: int
) -> None:
    parts = parse_label(an_old_label(job_id, attempt, stage))

    assert parts == LabelParts(stage, None, job_id, attempt)


def test_label_is_no_longer_than_what_is_known_to_be_taken() -> None:
    label = make_label("local", make_deployment_id(), JOB_ID, 999)

    assert len(label) <= LONGEST_KNOWN_GOOD
    assert parse_label(label) is not None


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

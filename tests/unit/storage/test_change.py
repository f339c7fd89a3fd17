from dataclasses import replace

import pytest

from rune.jobs.record import ACTIVE, Job, Status
from rune.storage.change import (
    Change,
    Is,
    IsAbsentOrBefore,
    IsBelow,
    IsOneOf,
    Requirement,
    allows,
    apply,
    make_change,
)
from tests.builders import NOW, a_claimed_job, a_job, after, an_ended_job

JUDGEMENTS: list[tuple[Requirement, Job, bool]] = [
    (Is("seq", 1), a_job(seq=1), True),
    (Is("seq", 1), a_job(seq=2), False),
    (Is("lease_owner", ""), a_job(), False),
    (Is("lease_owner", "worker-1"), a_claimed_job(), True),
    (Is("due_at", after(60)), a_job(), True),
    (Is("due_at", after(60)), an_ended_job(), False),
    (IsOneOf("status", ACTIVE), a_job(), True),
    (IsOneOf("status", ACTIVE), a_claimed_job(), True),
    (IsOneOf("status", ACTIVE), an_ended_job(Status.FAILED), False),
    (IsAbsentOrBefore("lease_until", NOW), a_job(), True),
    (IsAbsentOrBefore("lease_until", NOW), a_job(lease_until=after(-0.001)), True),
    (IsAbsentOrBefore("lease_until", NOW), a_job(lease_until=NOW), False),
    (IsAbsentOrBefore("lease_until", NOW), a_job(lease_until=after(0.001)), False),
    (IsBelow("attempts", 3), a_job(attempts=2), True),
    (IsBelow("attempts", 3), a_job(attempts=3), False),
    (IsBelow("attempts", 3), a_job(attempts=4), False),
    (IsBelow("slot", 1), a_job(), True),
]


@pytest.mark.parametrize(("requirement", "job", "expected"), JUDGEMENTS)
def test_change_is_allowed_when_its_requirement_holds(
    requirement: Requirement, job: Job, *, expected: bool
) -> None:
    assert allows(Change("any", (requirement,), {}), job) is expected


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_change_is_refused_when_one_requirement_of_several_fails(failing: int) -> None:
    requirements: list[Requirement] = [Is("seq", 1), Is("epoch", 0), IsOneOf("status", ACTIVE)]
    requirements[failing] = Is("version", 99)

    assert not allows(Change("any", tuple(requirements), {}), a_job())


def test_apply_sets_adds_and_removes_when_told_so() -> None:
    job = a_claimed_job(attempts=2)
    change = Change("any", (), {"failures": 1, "lease_owner": None}, {"seq": 1, "attempts": 3})

    assert apply(change, job) == replace(job, failures=1, lease_owner=None, seq=2, attempts=5)


def test_apply_sets_once_when_the_field_is_absent() -> None:
    assert apply(Change("any", (), {}, {}, {"started_at": NOW}), a_job()) == a_job(started_at=NOW)


def test_apply_keeps_what_was_set_once_when_the_field_is_there() -> None:
    job = a_job(started_at=after(-9))

    assert apply(Change("any", (), {}, {}, {"started_at": NOW}), job) == job


def test_make_change_counts_the_version_and_notes_the_time() -> None:
    change = make_change("any", after(5), requires=(), sets={"failures": 1}, adds={"seq": 2})

    assert change == Change("any", (), {"updated_at": after(5), "failures": 1}, {"version": 1, "seq": 2}, {})

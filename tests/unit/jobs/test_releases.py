from dataclasses import replace
from datetime import timedelta

import pytest

from rune.jobs.record import Event, Job, StepName
from rune.jobs.releases import LONGEST_USUAL_RELEASE, explain_hindrance, find_hindrance, is_long, may_be_long
from tests.builders import NOW, a_claimed_job, an_event

HOUR = LONGEST_USUAL_RELEASE
BEGAN_AT = NOW + timedelta(hours=3)
RELEASING = a_claimed_job(step=StepName.RELEASE, rents=True, started_at=NOW)


def an_event_of(step: StepName, minutes: int, error_type: str | None = None) -> Event:
    """Return an event so many minutes after the release began."""
    recorded_at = BEGAN_AT + timedelta(minutes=minutes)
    return replace(an_event(), recorded_at=recorded_at, error_type=error_type, labels={"step": step.value})


HISTORY = (
    an_event_of(StepName.RELEASE, -90, "provider_busy"),
    an_event_of(StepName.MEASURE, 0),
    an_event_of(StepName.RELEASE, 1, "provider_failed"),
    an_event_of(StepName.RELEASE, 30, "provider_key"),
    an_event_of(StepName.RELEASE, 40),
)


@pytest.mark.parametrize(
    ("job", "minutes", "expected"),
    [
        (RELEASING, 60, False),
        (RELEASING, 61, True),
        (replace(RELEASING, step=StepName.GIVE_BACK), 61, True),
        (replace(RELEASING, step=StepName.MEASURE), 61, False),
        (replace(RELEASING, cancel_requested_at=BEGAN_AT + timedelta(minutes=2)), 61, False),
        (replace(RELEASING, cancel_requested_at=BEGAN_AT + timedelta(minutes=2)), 63, True),
    ],
    ids=["an hour", "longer", "give_back", "another step", "cancelled later", "cancelled an hour ago"],
)
def test_release_is_long_an_hour_after_it_began(job: Job, minutes: int, *, expected: bool) -> None:
    assert is_long(job, HISTORY, BEGAN_AT + timedelta(minutes=minutes)) is expected


def test_release_cannot_be_long_in_the_first_hour_of_its_job() -> None:
    assert not may_be_long(RELEASING, NOW + HOUR)
    assert may_be_long(RELEASING, NOW + 2 * HOUR)
    assert not may_be_long(replace(RELEASING, step=StepName.BOOT), NOW + 2 * HOUR)


def test_hindrance_is_explained_by_the_last_event_alone() -> None:
    told = replace(HISTORY[2], labels={"step": "release", "detail": "Vast.ai is down."})

    assert explain_hindrance((told,)) == "Vast.ai is down."
    assert explain_hindrance(HISTORY[:3]) == "provider_failed"
    assert (explain_hindrance(HISTORY), explain_hindrance(HISTORY[:2]), explain_hindrance(())) == (None,) * 3


def test_hindrance_is_the_last_that_is_told_of_the_present_release() -> None:
    assert find_hindrance(HISTORY) == "provider_key"
    assert find_hindrance(HISTORY[:2]) is None
    assert find_hindrance(()) is None

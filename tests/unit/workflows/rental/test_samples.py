from dataclasses import replace

import pytest

from rune.jobs.outcomes import Released
from rune.jobs.places import RowChange
from rune.jobs.record import Job, Status, StepName
from rune.jobs.samples import SAMPLES_KEPT, Sample, SampleRow, Shape
from rune.rentals.record import EndReason, Expected, Rental
from rune.storage.change import apply
from rune.workflows.rental.samples import make_samples
from tests.builders import JOB_ID, NOW, after
from tests.rental_builders import MODEL, OTHER_JOB_ID, a_released_rental, a_rental_of
from tests.unit.workflows.rental.world import a_renting_job, a_world

EXPECTED = Expected(8, 21_780, boot_ms=47_500, pull_ms=43_000, load_ms=2_450, work_ms=4_240)
USED = a_released_rental(
    model=MODEL, expected=EXPECTED, release_asked_at=after(400), end_reason=EndReason.JOB_ENDED
)
PHASES = {"search": 900, "boot": 61_000, "pull": 42_000, "load": 3_000, "first_token": 200, "measure": 9_000}


def an_ending_job(**overrides: object) -> Job:
    ended = {"ends_as": Status.SUCCEEDED, "phases_ms": {**PHASES, "judge": 5_000}}
    return a_renting_job(StepName.RELEASE, **{**ended, **overrides})


def sampled(job: Job, *attempts: Rental) -> Sample | None:
    changes = make_samples(job, attempts, 51_400, after(420))
    return apply(changes[0].change, Sample()) if changes else None


def test_job_leaves_what_it_took_beside_what_was_expected() -> None:
    used = replace(USED, running_at=after(60), released_at=after(412.5))

    assert sampled(an_ending_job(), used) == Sample(
        job_id=JOB_ID,
        kind="benchmark",
        class_gb=8,
        ended_at=after(420),
        status=Status.SUCCEEDED,
        model=MODEL,
        gpu="1x RTX 4090",
        machine_count=1,
        cost_micro_usd=51_400,
        expected_micro_usd=21_780,
        phases_ms={
            "search": 900,
            "boot": 61_000,
            "pull": 42_000,
            "load": 3_200,
            # From the server's first answer at 60 s until the machine was given back at 400 s, but for these two.
            "work": 340_000 - 42_000 - 3_200,
            "release": 12_500,
        },
        expected_ms={"boot": 47_500, "pull": 43_000, "load": 2_450, "work": 4_240},
        version=1,
        updated_at=after(420),
        expires_at=after(420) + SAMPLES_KEPT,
    )


def test_row_of_a_sample_is_named_by_shape_end_and_job() -> None:
    (change,) = make_samples(an_ending_job(), (USED,), 1, NOW)

    assert change.row == SampleRow(Shape("benchmark", 8), NOW, JOB_ID)


def test_phases_that_the_job_did_not_reach_are_left_out() -> None:
    job = an_ending_job(ends_as=Status.FAILED, phases_ms={"search": 900})

    sample = sampled(job, replace(USED, release_asked_at=None))

    assert sample is not None
    assert (sample.status, sample.phases_ms) == (Status.FAILED, {"search": 900})


def test_forecast_of_the_first_machine_counts_when_others_followed() -> None:
    second = a_rental_of(JOB_ID, 2, contract_id=2, expected=replace(EXPECTED, micro_usd=99_000))

    sample = sampled(an_ending_job(), USED, second)

    assert sample is not None
    assert (sample.machine_count, sample.expected_micro_usd) == (2, 21_780)


def test_cancel_that_was_asked_for_counts_as_one() -> None:
    sample = sampled(an_ending_job(cancel_requested_at=after(399)), USED)

    assert sample is not None
    assert sample.status is Status.CANCELLED


@pytest.mark.parametrize(
    "attempts",
    [
        (),
        (replace(USED, contract_id=None),),
        (replace(USED, expected=None),),
        (replace(USED, job_id=OTHER_JOB_ID),),
    ],
    ids=["no machine", "none was made", "of an earlier version", "borrowed"],
)
def test_job_leaves_no_sample_without_a_machine_of_its_own(attempts: tuple[Rental, ...]) -> None:
    assert sampled(an_ending_job(), *attempts) is None


def test_release_hands_the_sample_to_the_job_s_end() -> None:
    world = a_world(USED, seconds=400)

    outcome = world.run(an_ending_job())

    assert isinstance(outcome, Released)
    (change,) = outcome.companions
    assert isinstance(change, RowChange)
    assert isinstance(change.row, SampleRow)


def test_job_ends_without_a_sample_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("rune.workflows.rental.release.make_samples", fail)
    outcome = a_world(USED, seconds=400).run(an_ending_job())

    assert isinstance(outcome, Released)
    assert (outcome.companions, outcome.labels["missing"]) == ((), "sample")

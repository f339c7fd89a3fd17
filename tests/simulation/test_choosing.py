"""Which machines simulated jobs rent, on a market with hosts that lie, fail, or cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from local.simulators.vastai import OLD_OFFERS, OVERSTATED_OFFERS, BootFailure, BootScript, SimulatedOffer
from rune.jobs.record import Status
from rune.jobs.transitions import LONGEST_SENTENCE_BYTES
from rune.llm.failures import FailureContext
from rune.llm.http_failures import describe_failure
from rune.llm.protocol import OnPull, PullRequest
from rune.rentals.record import EndReason, Rental
from tests.simulation.choices import JOBS, SPECIFICATION, choose
from tests.simulation.mischief import MARKET, SETTINGS
from tests.simulation.requests import rented_benchmark
from tests.simulation.servers import MachineServer
from tests.simulation.world import World

LIAR = OVERSTATED_OFFERS[0]
"""States 2000 Mbit/s and has 8."""

DEAD = replace(LIAR, bandwidth_ratio=1.0, boot=BootScript(failure=BootFailure.STUCK_NULL))


def a_world(*offers: SimulatedOffer) -> World:
    return World(0, vastai=replace(SETTINGS, offers=(*MARKET, *offers)))


def run_jobs(world: World, count: int) -> list[list[Rental]]:
    """Run jobs one after the other, and return what each has rented."""
    assert world.account is not None
    rented: list[list[Rental]] = []
    for _ in range(count):
        job_id = world.submit(rented_benchmark())
        world.run(until_redelivered=False)
        assert job_id
        assert world.table.jobs[job_id].status is Status.SUCCEEDED
        rented.append(list(world.account.rental_store.read_attempts(job_id)))
    assert world.violations == []
    return rented


def test_machine_that_lies_about_its_bandwidth_is_given_up_within_minutes() -> None:
    ((liar, other),) = run_jobs(a_world(LIAR), 1)

    assert (liar.machine.machine_id, liar.end_reason) == (LIAR.machine_id, EndReason.PULL_TOO_SLOW)
    assert other.end_reason is EndReason.JOB_ENDED
    assert liar.released_at is not None
    lasted = liar.released_at - liar.intended_at
    # 82 minutes of download would have cost 0.40 USD.
    assert lasted.total_seconds() < 240
    assert (liar.cost_micro_usd or 0) < 60_000


def test_job_ends_within_minutes_when_the_model_is_slow_to_come_everywhere() -> None:
    world = World(0, vastai=replace(SETTINGS, download_bytes_per_second=1.0e6))
    job_id = world.submit(rented_benchmark())

    world.run()

    assert world.account is not None
    job = world.table.jobs[job_id or ""]
    assert job.failure is not None
    assert job.failure.code == "pull_too_late"
    # Until its deadline, an hour later, it would have cost 0.52 USD.
    assert job.cost_micro_usd < 350_000
    assert world.violations == []


@pytest.mark.parametrize(
    ("bad", "reason"), [(LIAR, EndReason.PULL_TOO_SLOW), (DEAD, EndReason.BOOT_FAILED)], ids=["slow", "dead"]
)
def test_host_that_failed_one_job_is_not_the_first_choice_of_the_next(
    bad: SimulatedOffer, reason: EndReason
) -> None:
    first, *others = run_jobs(a_world(bad), 5)

    assert [rental.end_reason for rental in first] == [reason, EndReason.JOB_ENDED]
    assert [[rental.end_reason for rental in each] for each in others] == [[EndReason.JOB_ENDED]] * 4


def test_machines_that_the_image_cannot_use_are_never_rented() -> None:
    cheapest = [replace(offer, gpu_usd_per_hour=0.01) for offer in OLD_OFFERS]

    ((rental,),) = run_jobs(a_world(*cheapest), 1)

    assert rental.machine.machine_id not in {offer.machine_id for offer in OLD_OFFERS}


NEEDS_NEWER = "412: The model you are attempting to pull requires a newer version of Ollama."
FAILURES = {
    "pull model manifest: " + NEEDS_NEWER: ("model_unsupported", 1),
    "write /root/.ollama/models/blobs/sha256-1: no space left on device": ("disk_full", 1),
    "pull model manifest: 401: unauthorized": ("request_rejected", 1),
    "pull model manifest: 503: unavailable": ("registry_failed", 1),
    "something that RUNE has never heard": ("stream_failed", 2),
}
"""How a download ends on every machine: the job's error code, and how many machines are paid for."""


@pytest.mark.parametrize("words", FAILURES)
def test_cause_that_no_machine_mends_is_paid_for_once_and_told_in_the_server_s_words(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_self: MachineServer, request: PullRequest, _on_progress: OnPull) -> bool:
        raise describe_failure(None, {"error": words}, FailureContext(request.model))

    monkeypatch.setattr(MachineServer, "pull", fail)
    world = a_world()
    job_id = world.submit(rented_benchmark())
    world.run()

    assert world.account is not None
    assert job_id
    failure = world.table.jobs[job_id].failure
    assert failure is not None
    code, machine_count = FAILURES[words]
    assert failure.code == code
    told = failure.sentence.partition("It said: ")[2]
    assert told
    assert words == told
    assert len(failure.sentence.encode()) <= LONGEST_SENTENCE_BYTES
    assert len(world.account.rental_store.read_attempts(job_id)) == machine_count
    assert world.violations == []


@pytest.mark.parametrize("document", JOBS, ids=lambda document: document["model"])
def test_job_takes_a_machine_on_which_it_costs_no_more_than_by_dlperf_per_dollar(
    document: Mapping[str, object],
) -> None:
    before, after = choose(document, is_usable=True)

    assert before is not None
    assert after is not None
    assert after.flaw is None
    assert after.usd_per_hour >= document.get("min_dph", 0)  # type: ignore[operator]  # a number
    assert after.expected_usd <= before.expected_usd


def test_specification_s_own_example_takes_the_faster_gpu_at_the_lower_price() -> None:
    before, after = choose(SPECIFICATION, is_usable=True)

    assert before is not None
    assert after is not None
    assert (before.offer.gpu_count, before.offer.gpu_name) == (2, "RTX PRO 6000 S")
    assert (after.offer.gpu_count, after.offer.gpu_name) == (1, "H100 SXM")
    assert after.usd_per_hour < before.usd_per_hour

"""What jobs on a moving market cost, beside what was estimated when they were posted.

`python -m tests.simulation.estimates 1000` prints how often the real cost lies between the low and the high figure,
how near the likely one is, how the confidence agrees with the share that held, and a table by phase. The market's
prices wander, machines come and go, hosts have less bandwidth than they state, and some do not boot.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from statistics import median

from local.simulators.vastai import DEFAULT_OFFERS, BootScript, SimulatedOffer, VastaiSettings
from local.simulators.vastai.boots import BootFailure
from rune.amounts import MICRO_USD_PER_USD
from rune.clock import Clock
from rune.contracts.estimates import RentalEstimate
from rune.jobs.record import Job, Status
from rune.jobs.samples import Sample, SampleRow
from rune.rentals.forecast import DECODE_EFFICIENCY, DECODE_OVERHEAD_SECONDS
from rune.services.admission.requests import Admitted
from rune.services.estimates import EstimateService
from rune.workflows.rental.selection import LIKELY_OUTPUT_TOKENS
from tests.memory_sample_store import MemorySampleStore
from tests.simulation.machines import MODEL_BYTES, Disk
from tests.simulation.provider import Account
from tests.simulation.requests import CALLER, MODEL, OTHER_MODEL, rented_benchmark, rented_instance
from tests.simulation.rest import bill_micro_usd
from tests.simulation.world import World

JOBS_A_DAY = 50
_DAY_HOURS = 14
_STEP_SECONDS = 600.0
_WANDER = 0.03
"""Standard deviation of an offer's price in ten minutes, of itself; it is drawn back to its usual price."""
_FAILING_SHARE = 0.03
"""Of boots."""
_IMAGE_GB = 1.9

WORK = {"prompt_set": "chat", "repetitions": 4, "output_tokens": 300}
BENCHMARKS: tuple[Admitted, ...] = (
    rented_benchmark(MODEL),
    rented_benchmark(OTHER_MODEL),
    rented_benchmark(MODEL, workload=WORK),
    rented_benchmark(OTHER_MODEL, workload=WORK),
)
INSTANCES: tuple[Admitted, ...] = (
    rented_instance(MODEL, keep_seconds=900),
    rented_instance(OTHER_MODEL, keep_seconds=1800),
)
"""On days of their own: a benchmark would take a kept machine of its tenant and cost next to nothing."""

_ALIKE = 4
"""Machines of each kind of the default market, which has one or two: the real one has dozens of most."""

_GONE_SHARE = 0.1
"""Of offers, at any time: another account has them."""

_FAILURES = (BootFailure.OCI_ERROR, BootFailure.STUCK_LOADING, BootFailure.EXITED)


class WorldClock(Clock):
    """The world's time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.now

    def monotonic_seconds(self) -> float:
        return self._world.now.timestamp()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was estimated of a job, and what it then cost."""

    estimate: RentalEstimate
    job: Job
    cost_usd: float
    sample: Sample | None


class MovingMarket:
    """Offers whose prices wander, that leave and return, and whose hosts are not as they say."""

    def __init__(
        self, world: World, account: Account, offers: Sequence[SimulatedOffer], chance: random.Random
    ) -> None:
        self._world = world
        self._listings = [account.vastai.world.market.find(offer.offer_id) for offer in offers]
        self._chance = chance
        self._usual = {offer.offer_id: offer for offer in offers}
        self._drift = dict.fromkeys(self._usual, 0.0)
        self._bandwidth = {number: chance.uniform(0.7, 1.05) for number in self._usual}
        self.step()

    def step(self) -> None:
        """Let ten minutes pass on the market."""
        for listing in self._listings:
            if listing is None or listing.contract_id is not None:
                continue
            usual = self._usual[listing.offer.offer_id]
            drift = 0.97 * self._drift[usual.offer_id] + self._chance.gauss(0, _WANDER)
            self._drift[usual.offer_id] = drift
            listing.is_withdrawn = self._chance.random() < _GONE_SHARE
            listing.offer = replace(
                usual,
                gpu_usd_per_hour=round(usual.gpu_usd_per_hour * math.exp(drift), 4),
                bandwidth_ratio=self._bandwidth[usual.offer_id],
                boot=self._boot_of(usual),
            )
        self._world.at(_STEP_SECONDS, self.step)

    def _boot_of(self, offer: SimulatedOffer) -> BootScript:
        real = offer.inet_down_mbit_per_second * self._bandwidth[offer.offer_id]
        failure = self._chance.choice(_FAILURES) if self._chance.random() < _FAILING_SHARE else None
        return BootScript(
            null_seconds=self._chance.uniform(2, 12),
            loading_seconds=_IMAGE_GB * 8000 / real + self._chance.uniform(3, 15),
            port_lag_seconds=self._chance.uniform(1, 5),
            app_delay_seconds=self._chance.uniform(2, 6),
            failure=failure,
        )


def run_day(seed: int, requests: Sequence[Admitted], past: dict[SampleRow, Sample]) -> list[Outcome]:
    """Return what became of one day's jobs; `past` are the samples of the days before, to which it adds its own."""
    chance = random.Random(seed)
    offers = _make_offers(chance)
    world = World(seed, vastai=VastaiSettings(offers=offers, credit_usd=Decimal(10_000)))
    account = world.account
    assert account is not None
    MovingMarket(world, account, offers, chance)
    world.time_of_call = lambda name, seconds, disk: _time_of_call(chance, name, seconds, disk)
    world.table.samples.update(past)
    samples = MemorySampleStore(world.table)
    service = EstimateService(
        world.job_service, account.market_store, account.host_store, samples, WorldClock(world)
    )
    told: dict[str, RentalEstimate] = {}

    def post() -> None:
        request = chance.choice(requests)
        estimate = service.plan(CALLER, request).estimate
        job_id = world.submit(request)
        if job_id and estimate is not None:
            told[job_id] = estimate

    for _ in range(JOBS_A_DAY):
        world.plan(chance.uniform(0.0, _DAY_HOURS * 3600), post)
    world.run(hours=40.0, until_kept_are_gone=True, until_redelivered=False)
    by_job = {row.job_id: sample for row, sample in world.table.samples.items()}
    past.update(world.table.samples)
    return [
        Outcome(told[job_id], world.table.jobs[job_id], _cost_usd(account, job_id), by_job.get(job_id))
        for job_id in told
    ]


def _make_offers(chance: random.Random) -> tuple[SimulatedOffer, ...]:
    """Return several machines of each kind, which differ in price."""
    return tuple(
        replace(
            offer,
            offer_id=offer.offer_id % 1_000_000 + 1_000_000 * (number + 1),
            machine_id=offer.machine_id + 100_000 * number,
            gpu_usd_per_hour=round(
                offer.gpu_usd_per_hour * (chance.uniform(0.95, 1.3) if number else 1.0), 4
            ),
        )
        for number in range(_ALIKE)
        for offer in DEFAULT_OFFERS
    )


def _cost_usd(account: Account, job_id: str) -> float:
    own = [each for each in account.rental_store.rentals.values() if each.job_id == job_id]
    return float(sum((bill_micro_usd(account, each) for each in own), Decimal(0)) / MICRO_USD_PER_USD)


def _time_of_call(chance: random.Random, name: str, seconds: float, disk: Disk) -> float:
    """Return how long a call takes on a machine: answers by its memory, a model by its disk."""
    weights_gb = max((MODEL_BYTES[model] for model in disk.come), default=0) / 1e9
    if name == "warm_up":
        return weights_gb / chance.uniform(1.2, 2.6) + 1.0
    if name != "chat":
        return seconds
    bandwidth = disk.machine.offer.gpu_mem_bw_gb_per_second * DECODE_EFFICIENCY * chance.uniform(0.85, 1.1)
    per_token = weights_gb / bandwidth + DECODE_OVERHEAD_SECONDS
    return 0.3 + per_token * LIKELY_OUTPUT_TOKENS * chance.uniform(0.4, 1.3)


def report(outcomes: Sequence[Outcome]) -> None:
    """Print the figures."""
    known = [
        each
        for each in outcomes
        if each.estimate.offer is not None and each.cost_usd > 0 and each.job.status is not Status.CANCELLED
    ]
    unknown = sum(each.estimate.offer is None for each in outcomes)
    print(f"{len(outcomes)} jobs, {len(known)} estimated with an offer, {unknown} without")
    _print_line("all", known)
    for basis in ("prior", "samples"):
        _print_line(f"by {basis}", [each for each in known if each.estimate.basis == basis])
    print("\nratios of cost to what was expected, in twenty parts:")
    ratios = sorted(
        each.sample.cost_micro_usd / each.sample.expected_micro_usd
        for each in known
        if each.sample is not None and each.sample.expected_micro_usd
    )
    print([round(ratios[int((part + 0.5) / 20 * len(ratios))], 3) for part in range(20)])
    _print_phases(known)


def _print_line(name: str, of: Sequence[Outcome]) -> None:
    if not of:
        return
    within = sum(_low(each) <= each.cost_usd <= each.estimate.high_usd for each in of) / len(of)
    held = sum(each.cost_usd <= each.estimate.high_usd for each in of) / len(of)
    errors = [abs(_likely(each) - each.cost_usd) / each.cost_usd for each in of]
    confidence = sum(each.estimate.confidence_score for each in of) / len(of)
    wide = median(each.estimate.high_usd / max(_low(each), 1e-6) for each in of)
    print(
        f"{name}: {len(of)} jobs, between low and high {within:.1%}, likely within {median(errors):.1%} at the"
        f" median, confidence {confidence:.3f}, held {held:.3f}, high/low {wide:.2f} at the median"
    )


def _low(each: Outcome) -> float:
    return each.estimate.low_usd or 0.0


def _likely(each: Outcome) -> float:
    return each.estimate.likely_usd or 0.0


def _print_phases(known: Sequence[Outcome]) -> None:
    print("\n| phase | likely, s | took, s | took / likely | within low and high |")
    print("|---|---|---|---|---|")
    for phase in ("search", "boot", "pull", "load", "work", "release"):
        pairs = []
        for each in known:
            ranges = {found.phase: found.seconds for found in each.estimate.phases}
            if each.sample is None or phase not in each.sample.phases_ms:
                continue
            low, likely, high = ranges[phase].low, ranges[phase].likely, ranges[phase].high
            if phase == "boot":
                image = ranges["image"]
                low, likely, high = low + image.low, likely + image.likely, high + image.high
            pairs.append((low, likely, high, each.sample.phases_ms[phase] / 1000))
        if pairs:
            inside = sum(low <= took <= high for low, _, high, took in pairs) / len(pairs)
            likely_median = median(likely for _, likely, _, _ in pairs)
            took_median = median(took for *_, took in pairs)
            ratio = median(took / likely if likely else 1.0 for _, likely, _, took in pairs)
            print(f"| {phase} | {likely_median:.1f} | {took_median:.1f} | {ratio:.2f} | {inside:.0%} |")


def main(job_count: int) -> None:
    """Print what became of so many jobs, of which every fifth day's are instances."""
    past: dict[SampleRow, Sample] = {}
    outcomes = list[Outcome]()
    for day in range(math.ceil(job_count / JOBS_A_DAY)):
        outcomes += run_day(day, INSTANCES if day % 5 == 4 else BENCHMARKS, past)  # the fifth
        print(f"day {day + 1}: {len(outcomes)} jobs", file=sys.stderr)
    report(outcomes)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

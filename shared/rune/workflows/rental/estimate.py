"""What a job that rents would cost: by the market as last seen, the ranking that rents, and what past jobs took.

Plain functions over plain data. docs/estimates.md says what each figure means.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from math import ceil

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.estimates import (
    OfferEstimate,
    PhaseEstimate,
    PhaseName,
    Range,
    RefusedOffers,
    RentalEstimate,
)
from rune.jobs.record import Job, Status
from rune.jobs.samples import Sample
from rune.rentals.cost_cap import STOP_MARGIN
from rune.rentals.forecast import START_SECONDS, ExpectedUse
from rune.rentals.hosts import HostRecord
from rune.rentals.market import WIDE_FOR, MarketRow, Scope
from rune.rentals.offers import MAX_DOWNLOAD_USD_PER_GB, Offer, Requirements
from rune.rentals.ranking import Candidate, Market, Selection, explain_choice, select_offers
from rune.rentals.record import OLLAMA_IMAGE_BYTES
from rune.workflows.rental.dependencies import MAX_MACHINES, RentalRequest, required_model
from rune.workflows.rental.search import MOST_IMAGE_BYTES
from rune.workflows.rental.selection import describe_needs, describe_use, hold_to_limit, latest_end

LONGEST_AGE = WIDE_FOR
"""Of what a search has seen. What is older says nothing of the prices of now."""

ENOUGH_SAMPLES = 20
"""From so many past jobs of a shape on, nothing else counts; below, the prior fills up."""

ENOUGH_OF_GPU = 20
"""From so many on the same GPU on, those on others do not count."""

BOUNDED_CONFIDENCE = 0.95
"""Of a figure that the job's limits enforce, and the least of a high figure that past jobs give."""

_LOW_SHARE = 0.03
"""Of past jobs, which cost less than the low figure."""

PRIOR_RATIOS: tuple[float, ...] = (
    0.884, 0.936, 0.956, 0.963, 0.974, 0.989, 1.011, 1.040, 1.056, 1.065,
    1.071, 1.076, 1.083, 1.090, 1.101, 1.117, 1.155, 1.195, 1.223, 1.270,
)  # fmt: skip
"""What jobs cost, by what was expected, in twenty equal parts: of 980 jobs in `tests.simulation.estimates`."""

_PRIOR_PHASES: Mapping[str, tuple[float, float, float]] = {
    "boot": (0.7, 1.0, 2.0),
    "pull": (0.9, 1.0, 1.4),
    "load": (0.8, 1.0, 2.0),
    "work": (0.8, 1.0, 1.5),
}
"""What phases took by what was expected, seldom less, usually, and seldom more."""

_PRIOR_SECONDS: Mapping[str, tuple[float, float, float]] = {
    "search": (0.1, 2.0, 20.0),
    "release": (0.1, 10.0, 60.0),
}

_TAKEN_SHARES = (0.8, 0.13, 0.05, 0.02)
"""How often the first offer is taken, the second, and so on: others rent meanwhile what was seen."""

_PRICE_MOVES = ((0.94, 0.25), (1.0, 0.5), (1.06, 0.25))
"""By what a price has changed when the job orders, and how often, in the simulation of a moving market."""

_STEP_USD = Decimal("0.0001")
_HOUR = timedelta(hours=1)
_BYTES_PER_GB = 1_000_000_000
_PHASE_SHARES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Asked:
    """The job that is estimated.

    Attributes
    ----------
    job
        As it would be if it began now: its deadline is the end of its running time.
    used_for
        How long the machine is used, boot and download included, as the caller says; None where the request tells.
    most_micro_usd_per_hour
        What the caller's tenant may pay for a machine, in millionths of a dollar an hour; None for no limit.
    """

    job: Job
    request: RentalRequest
    cap_micro_usd: int
    used_for: timedelta | None = None
    most_micro_usd_per_hour: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known.

    Attributes
    ----------
    rows
        What searches have seen.
    hosts
        What earlier jobs know of the hosts of its offers.
    samples
        Of past jobs of the shape, the newest first.
    """

    rows: Sequence[MarketRow]
    hosts: Mapping[int, HostRecord]
    samples: Sequence[Sample]
    now: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """Offers that are fresh enough to reckon with, and when each was seen."""

    offers: tuple[Offer, ...]
    as_of: Mapping[int, datetime]


def find_needs(asked: Asked, now: datetime) -> Requirements:
    """Return what an offer must have for the job; raises InvalidRequestError for a model of unknown size."""
    request = asked.request
    needs, most = (
        describe_needs(request, None, "", latest_end(asked.job, request) - now),
        asked.most_micro_usd_per_hour,
    )
    return needs if most is None else hold_to_limit(needs, most)


def find_fresh(rows: Sequence[MarketRow], now: datetime) -> Seen:
    """Return the offers of all rows that are not too old; of a machine, those of the latest row that has it."""
    fresh = sorted((row for row in rows if now - row.as_of <= LONGEST_AGE), key=lambda row: row.as_of)
    latest = {offer.machine_id: row.as_of for row in fresh for offer in row.offers}
    offers = {
        offer.offer_id: offer
        for row in fresh
        for offer in row.offers
        if latest[offer.machine_id] == row.as_of
    }
    return Seen(
        tuple(offers.values()), {number: latest[offer.machine_id] for number, offer in offers.items()}
    )


def estimate_rental(asked: Asked, evidence: Evidence) -> RentalEstimate:
    """Return what the job would cost; raises InvalidRequestError for a model of unknown size."""
    now = evidence.now
    needs, seen = find_needs(asked, now), find_fresh(evidence.rows, now)
    use = _use(asked, now)
    selection = select_offers(seen.offers, needs, use, Market((), evidence.hosts, now))
    limit = min(asked.cap_micro_usd, most_by_limits_micro_usd(asked, needs))
    if not selection.candidates:
        return _without_offer(
            selection,
            needs,
            evidence,
            _projected_usd(Decimal(limit) / MICRO_USD_PER_USD, asked.cap_micro_usd),
        )
    best = selection.candidates[0]
    samples = _of_same_gpu(evidence.samples, best.offer)
    figures = _reckon(asked, selection.candidates, use, samples, limit)
    notes = [*figures.notes]
    if selection.floor is not None:
        notes.append(
            f"min_dph excludes {selection.floor.count} cheaper offers, from"
            f" {selection.floor.from_usd_per_hour:.4f} USD per hour."
        )
    return RentalEstimate(
        low_usd=figures.low_usd,
        likely_usd=figures.likely_usd,
        high_usd=figures.high_usd,
        confidence_score=figures.confidence,
        cap_confidence_score=figures.cap_confidence,
        basis="samples" if len(figures.of_samples) >= ENOUGH_SAMPLES else "prior",
        sample_count=len(figures.of_samples),
        phases=_phases(best, use, figures, needs),
        offer=_offer(best, selection, needs),
        refused=_refused(selection),
        as_of=seen.as_of[best.offer.offer_id],
        notes=notes,
    )


def most_by_limits_micro_usd(asked: Asked, needs: Requirements) -> int:
    """Return the most that max_dph, the job's time and the highest price of traffic allow together."""
    traffic_gb = _image_gb(asked.request) + needs.download_gb
    hours = Decimal(needs.time_needed / _HOUR)
    usd = needs.max_usd_per_hour * hours + MAX_DOWNLOAD_USD_PER_GB * MAX_MACHINES * Decimal(traffic_gb)
    return ceil(usd * MICRO_USD_PER_USD)


@dataclass(frozen=True, slots=True)
class _Figures:
    low_usd: float
    likely_usd: float
    high_usd: float
    confidence: float
    cap_confidence: float
    of_samples: tuple[Sample, ...]
    work: tuple[timedelta, timedelta, timedelta]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a job may cost, and how likely that is."""

    usd: float
    share: float


def _reckon(
    asked: Asked,
    candidates: Sequence[Candidate],
    use: ExpectedUse,
    samples: tuple[Sample, ...],
    limit_micro_usd: int,
) -> _Figures:
    notes = list[str]()
    counted = tuple(each for each in samples if _counts(each))
    ratios, spans = _pool(counted), candidates[0].forecast.spans
    work = _by_phase(counted, "work", spans.work)
    if asked.used_for is not None:
        notes += _time_notes(asked.used_for, candidates[0], use.time_left)
        work = (spans.work, spans.work, spans.work)
    elif use.kept:
        work = (use.kept, use.kept, use.kept)
    costs = _costs(candidates, use, ratios)
    low, likely, wide = (
        _quantile_of(costs, share) for share in (_LOW_SHARE, 0.5, _share_needed(len(ratios)))
    )
    limit = limit_micro_usd / MICRO_USD_PER_USD
    high, confidence = wide, _succession(_share_within(costs, wide), len(ratios))
    if wide > limit:
        high, confidence = limit, BOUNDED_CONFIDENCE
        within = _share_within(costs, limit)
        notes.append(f"About {within:.0%} of such jobs end by themselves before they have cost so much.")
    high_usd = _projected_usd(Decimal(str(round(high, 9))), asked.cap_micro_usd)
    return _Figures(
        low_usd=min(round(min(low, likely, high), 4), high_usd),
        likely_usd=min(round(min(likely, high), 4), high_usd),
        high_usd=high_usd,
        confidence=confidence,
        cap_confidence=_succession(_share_within(costs, high_usd - _end_usd(candidates[0])), len(ratios)),
        of_samples=counted,
        work=work,
        notes=tuple(notes),
    )


def _end_usd(best: Candidate) -> float:
    """Return what a cap keeps for the end of its job, which must stop so much earlier."""
    return float(best.forecast.usd_per_hour) * (STOP_MARGIN / _HOUR)


def _projected_usd(usd: Decimal, cap_micro_usd: int) -> float:
    """Return a sum upwards to the next hundredth of a cent, but never above what the job may cost."""
    return float(min(usd.quantize(_STEP_USD, ROUND_CEILING), Decimal(cap_micro_usd) / MICRO_USD_PER_USD))


def _time_notes(used_for: timedelta, best: Candidate, time_left: timedelta | None) -> list[str]:
    """Return what to say of the time that the caller names."""
    spans = best.forecast.spans
    ready = spans.image + spans.pull + spans.load + timedelta(seconds=START_SECONDS)
    notes = list[str]()
    # The deadline was set a moment ago.
    if time_left is not None and used_for > time_left + timedelta(seconds=1):
        notes.append(
            f"The job may run for {time_left.total_seconds():.0f} s, which is less than estimated_duration_seconds."
        )
    if not spans.work:
        notes.append(
            f"The model is expected to be ready after {ready.total_seconds():.0f} s, which is longer than"
            " estimated_duration_seconds."
        )
    return notes


def _costs(candidates: Sequence[Candidate], use: ExpectedUse, ratios: Sequence[float]) -> list[_Cost]:
    """Return what the job costs on each of the first offers, at each price, as each past job went; ascending.

    The time that a caller names for the work, or keeps the machine, is as certain as the price.
    """
    shares = _TAKEN_SHARES[: len(candidates)]
    costs = list[_Cost]()
    for each, share in zip(candidates, shares, strict=False):
        told, price = each.forecast, float(each.forecast.usd_per_hour)
        named = use.kept if use.used_for is None else use.kept + told.spans.work
        certain = price * (named / _HOUR)
        uncertain = float(told.once_usd) - certain
        costs += [
            _Cost((uncertain * ratio + certain) * move, share / sum(shares) * often / len(ratios))
            for ratio in ratios
            for move, often in _PRICE_MOVES
        ]
    return sorted(costs, key=lambda cost: cost.usd)


def _quantile_of(ascending: Sequence[_Cost], share: float) -> float:
    """Return the lowest cost that so many do not exceed."""
    reached = 0.0
    for cost in ascending:
        reached += cost.share
        if reached >= share - 1e-9:
            return cost.usd
    return ascending[-1].usd


def _share_within(costs: Sequence[_Cost], most_usd: float) -> float:
    return min(1.0, sum(cost.share for cost in costs if cost.usd <= most_usd + 1e-9))


def _share_needed(count: int) -> float:
    """Return which share of past jobs must be within a figure, so that it has the confidence of a bound."""
    return min(1.0, (BOUNDED_CONFIDENCE * (count + 2) - 1) / count)


def _succession(share: float, count: int) -> float:
    """Return how often the next job is within, by Laplace's rule of succession."""
    return round((share * count + 1) / (count + 2), 4)


def _without_offer(
    selection: Selection, needs: Requirements, evidence: Evidence, high_usd: float
) -> RentalEstimate:
    """Return the estimate where no offer is known to fit: what the job's limits allow."""
    scope = Scope.of(needs)
    known = [row for row in evidence.rows if row.scope.holds(scope)]
    latest = max((row.as_of for row in known), default=None)
    confidence = BOUNDED_CONFIDENCE
    if latest is None:
        note = (
            "No search has seen the market for this yet, so this is the most that the job's limits allow. The first"
            " job that rents a machine of this size leaves what its search sees, and estimates are made of that."
        )
    elif evidence.now - latest > LONGEST_AGE:
        note = (
            f"The market was last seen {_ago(evidence.now - latest)} ago, which is too long, so this is the most"
            " that the job's limits allow."
        )
    elif selection.least_usd_beyond_cap is not None:
        confidence = 0.0
        note = (
            f"No offer that was seen fits: the job would cost {selection.least_usd_beyond_cap:.4f} USD on the"
            " cheapest, and may cost less."
        )
    else:
        confidence = 0.0
        note = "No offer that was seen fits, so the job would rent nothing."
    return RentalEstimate(
        low_usd=None,
        likely_usd=None,
        high_usd=high_usd,
        confidence_score=confidence,
        basis="limits",
        sample_count=0,
        phases=[],
        offer=None,
        refused=_refused(selection),
        as_of=latest,
        notes=[note],
    )


def _use(asked: Asked, now: datetime) -> ExpectedUse:
    model = required_model(asked.request)
    image_bytes = round(_image_gb(asked.request) * _BYTES_PER_GB)
    use = describe_use(asked.job, asked.request, model, image_bytes, asked.cap_micro_usd)
    time_left = asked.job.deadline_at - now
    used_for = None if asked.used_for is None else min(asked.used_for, time_left)
    return replace(use, time_left=time_left, used_for=used_for)


def _image_gb(request: RentalRequest) -> float:
    """Return the most that the image takes; only the provider knows what image a template has."""
    image_bytes = MOST_IMAGE_BYTES if request.rental_terms.template_hash else OLLAMA_IMAGE_BYTES
    return image_bytes / _BYTES_PER_GB


def _of_same_gpu(samples: Sequence[Sample], offer: Offer) -> tuple[Sample, ...]:
    gpu = f"{offer.gpu_count}x {offer.gpu_name}"
    same = tuple(each for each in samples if each.gpu == gpu)
    return same if len(same) >= ENOUGH_OF_GPU else tuple(samples)


def _counts(sample: Sample) -> bool:
    """Return whether a job says what such jobs cost: one that was cancelled does not."""
    return sample.expected_micro_usd > 0 and sample.status is not Status.CANCELLED


def _pool(samples: Sequence[Sample]) -> list[float]:
    """Return what jobs cost by what was expected, ascending; the prior stands for those that are missing."""
    ratios = [each.cost_micro_usd / each.expected_micro_usd for each in samples]
    missing = ENOUGH_SAMPLES - len(ratios)
    if missing > 0:
        step = len(PRIOR_RATIOS) / missing
        ratios += [PRIOR_RATIOS[int((number + 0.5) * step)] for number in range(missing)]
    return sorted(ratios)


def _quantile(ascending: Sequence[float], share: float) -> float:
    """Return the value that a share does not exceed."""
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (place - below)


def _by_phase(
    samples: Sequence[Sample], phase: str, expected: timedelta
) -> tuple[timedelta, timedelta, timedelta]:
    """Return how long a phase takes: seldom less, usually, seldom more."""
    ratios = sorted(
        each.phases_ms[phase] / each.expected_ms[phase]
        for each in samples
        if each.status is Status.SUCCEEDED and phase in each.phases_ms and each.expected_ms.get(phase)
    )
    if len(ratios) >= ENOUGH_SAMPLES:
        low, likely, high = (_quantile(ratios, share) for share in _PHASE_SHARES)
    else:
        low, likely, high = _PRIOR_PHASES[phase]
    return expected * low, expected * likely, expected * high


def _own_seconds(samples: Sequence[Sample], phase: str) -> tuple[timedelta, timedelta, timedelta]:
    """Return how long a phase takes that depends on RUNE and the provider alone."""
    spans = sorted(each.phases_ms[phase] / 1000 for each in samples if phase in each.phases_ms)
    if len(spans) >= ENOUGH_SAMPLES:
        low, likely, high = (_quantile(spans, share) for share in _PHASE_SHARES)
    else:
        low, likely, high = _PRIOR_SECONDS[phase]
    return timedelta(seconds=low), timedelta(seconds=likely), timedelta(seconds=high)


def _phases(best: Candidate, use: ExpectedUse, figures: _Figures, needs: Requirements) -> list[PhaseEstimate]:
    offer, spans, samples = best.offer, best.forecast.spans, figures.of_samples
    price, disk = best.forecast.usd_per_hour, offer.disk_usd_per_hour(needs.disk_gb)
    boot = _by_phase(samples, "boot", timedelta(seconds=START_SECONDS))
    gb = (
        use.image_gb * 0.9 + use.weights_gb,
        use.image_gb + use.weights_gb,
        use.image_gb + needs.download_gb,
    )
    spent = [float(offer.download_usd_per_gb * Decimal(each)) for each in gb]
    return [
        _phase("search", _own_seconds(samples, "search"), Decimal(0)),
        _phase("image", _by_phase(samples, "boot", spans.image), disk),
        _phase("boot", boot, price),
        _phase("pull", _by_phase(samples, "pull", spans.pull), price),
        _phase("load", _by_phase(samples, "load", spans.load), price),
        _phase("work", figures.work, price),
        _phase("release", _own_seconds(samples, "release"), price),
        PhaseEstimate(phase="traffic", seconds=_range(0, 0, 0), usd=_range(*spent)),
    ]


def _phase(
    phase: PhaseName, spans: tuple[timedelta, timedelta, timedelta], usd_per_hour: Decimal
) -> PhaseEstimate:
    seconds = [each.total_seconds() for each in spans]
    usd = [float(usd_per_hour) * each / _HOUR.total_seconds() for each in seconds]
    return PhaseEstimate(phase=phase, seconds=_range(*(round(each, 1) for each in seconds)), usd=_range(*usd))


def _range(low: float, likely: float, high: float) -> Range:
    return Range(low=round(low, 6), likely=round(likely, 6), high=round(high, 6))


def _offer(best: Candidate, selection: Selection, needs: Requirements) -> OfferEstimate:
    offer = best.offer
    return OfferEstimate(
        machine_id=offer.machine_id,
        gpu_name=offer.gpu_name,
        gpu_count=offer.gpu_count,
        vram_mb=offer.vram_mb,
        place=offer.place,
        usd_per_hour=round(float(offer.usd_per_hour(needs.disk_gb)), 6),
        download_usd_per_gb=float(offer.download_usd_per_gb),
        reliability=offer.reliability_ratio,
        why=explain_choice(selection),
    )


def _refused(selection: Selection) -> list[RefusedOffers]:
    counts = Counter(reason.value for _, reason in selection.rejections)
    return [RefusedOffers(reason=reason, count=count) for reason, count in counts.most_common()]


def _ago(age: timedelta) -> str:
    minutes = round(age.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"  # noqa: PLR2004

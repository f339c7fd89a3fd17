"""Which of the offers that fit is taken: the one on which the job is expected to cost least."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from rune.rentals.cost_cap import STOP_MARGIN
from rune.rentals.forecast import ExpectedUse, Forecast, forecast, least_usd
from rune.rentals.hosts import LEAST_EXCLUDED, UNKNOWN_HOST, HostRecord
from rune.rentals.offers import Offer, RejectionReason, Requirements, find_rejection_reason
from rune.rentals.record import Alternative

IN_VAIN_SHARE = 0.5
"""Of the time that a loaded model is expected to take: a job with less time left has no result from the machine. A
host may have the image already, or be faster than it states."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer that fits, with what the job is expected to cost on it."""

    offer: Offer
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Floor:
    """What the lowest price that the caller accepts has excluded.

    Attributes
    ----------
    count
        Offers that fit but for being cheaper.
    from_usd_per_hour
        The cheapest of them.
    """

    count: int
    from_usd_per_hour: Decimal


@dataclass(frozen=True, slots=True)
class Selection:
    """Offers that fit, cheapest for the job first, and why each other machine was rejected.

    Attributes
    ----------
    least_usd_beyond_cap
        What the job is expected to cost on the cheapest offer that fits but for costing more than the job may; None
        where there is none.
    least_loaded_after
        When the model is expected to be loaded on the fastest offer that fits but for the job's time, counted from
        the order; None where there is none.
    is_last_resort
        Whether every candidate's host failed lately: no other fits.
    """

    candidates: tuple[Candidate, ...]
    rejections: tuple[tuple[int, RejectionReason], ...]
    floor: Floor | None = None
    least_usd_beyond_cap: Decimal | None = None
    least_loaded_after: timedelta | None = None
    is_last_resort: bool = False


@dataclass(frozen=True, slots=True)
class Market:
    """What is known when an offer is chosen, beside the offers.

    Attributes
    ----------
    failed_machines
        Those that failed this job.
    hosts
        What earlier jobs know, by machine.
    """

    failed_machines: Collection[int] = ()
    hosts: Mapping[int, HostRecord] | None = None
    now: datetime | None = None

    def record_of(self, offer: Offer) -> HostRecord:
        """Return what is known of an offer's host."""
        return (self.hosts or {}).get(offer.machine_id, UNKNOWN_HOST)

    def hosts_to_avoid(self) -> frozenset[int]:
        """Return the hosts that failed too lately."""
        if self.now is None:
            return frozenset()
        until = {number: record.excluded_until() for number, record in (self.hosts or {}).items()}
        return frozenset(number for number, moment in until.items() if moment and moment > self.now)

    def hosts_just_failed(self) -> frozenset[int]:
        """Return those of them that are not even taken where no other host fits."""
        return frozenset(
            number
            for number in self.hosts_to_avoid()
            if (failed_at := (self.hosts or {})[number].failed_at) is not None
            and self.now is not None
            and self.now - failed_at < LEAST_EXCLUDED
        )


def select_offers(
    offers: Iterable[Offer], requirements: Requirements, use: ExpectedUse, market: Market
) -> Selection:
    """Return what fits, ordered by what the job is expected to cost on it.

    Where nothing does, hosts that failed others lately are taken, but for those that have just failed.
    """
    offers, avoided, just_failed = tuple(offers), market.hosts_to_avoid(), market.hosts_just_failed()
    selection = _select(offers, requirements, use, market, avoided)
    if selection.candidates or just_failed == avoided:
        return selection
    last = _select(offers, requirements, use, market, just_failed)
    return replace(last, is_last_resort=True) if last.candidates else selection


def _select(
    offers: Collection[Offer],
    requirements: Requirements,
    use: ExpectedUse,
    market: Market,
    avoided: frozenset[int],
) -> Selection:
    judged = [
        (offer, find_rejection_reason(offer, requirements, market.failed_machines, avoided))
        for offer in offers
    ]
    fitting = [
        Candidate(offer, forecast(offer, use, requirements.disk_gb, market.record_of(offer)))
        for offer, reason in judged
        if reason is None
    ]
    in_time = [each for each in fitting if _is_in_time(each.forecast, use)]
    late = [each for each in fitting if not _is_in_time(each.forecast, use)]
    candidates = [each for each in in_time if _is_affordable(each.forecast, use)]
    unaffordable = [each for each in in_time if not _is_affordable(each.forecast, use)]
    return Selection(
        # At the same cost: fewer GPUs, the surer host, the lower id, so that one market gives one choice.
        tuple(
            sorted(
                candidates,
                key=lambda each: (
                    each.forecast.expected_usd,
                    each.offer.gpu_count,
                    -each.offer.reliability_ratio,
                    each.offer.offer_id,
                ),
            )
        ),
        (
            *((offer.machine_id, reason) for offer, reason in judged if reason is not None),
            *((each.offer.machine_id, RejectionReason.TOO_LATE) for each in late),
            *((each.offer.machine_id, RejectionReason.COST_CAP) for each in unaffordable),
        ),
        _find_floor([offer for offer, _ in judged], requirements, market.failed_machines, avoided),
        min((least_usd_of(each.forecast) for each in unaffordable), default=None),
        min((each.forecast.loaded_after for each in late), default=None),
    )


def least_usd_of(told: Forecast) -> Decimal:
    """Return what one try is expected to cost, with what is kept for the job's end: with less it is not begun."""
    return told.once_usd + told.usd_per_hour * (STOP_MARGIN // timedelta(seconds=1)) / 3600


def _is_affordable(told: Forecast, use: ExpectedUse) -> bool:
    return use.most_usd is None or least_usd_of(told) <= use.most_usd


def _is_in_time(told: Forecast, use: ExpectedUse) -> bool:
    return use.time_left is None or told.loaded_after * IN_VAIN_SHARE <= use.time_left


def is_settled(selection: Selection, use: ExpectedUse, from_usd_per_hour: Decimal) -> bool:
    """Return whether no offer at or above an hourly price can cost the job less than the best one found."""
    if not selection.candidates or selection.is_last_resort:
        return False
    return least_usd(from_usd_per_hour, use) >= selection.candidates[0].forecast.expected_usd


def find_alternative(selection: Selection, market: Market, disk_gb: int) -> Alternative | None:
    """Return the best offer of another machine than the chosen one; None where no other fits."""
    best, *others = selection.candidates
    other = next((each.offer for each in others if each.offer.machine_id != best.offer.machine_id), None)
    if other is None:
        return None
    prices = other.prices(disk_gb)
    mbit = market.record_of(other).believable_mbit_per_second(other.download_mbit_per_second)
    return Alternative(max(1, int(mbit)), prices.micro_usd_per_hour, prices.download_micro_usd_per_gb)


def explain_choice(selection: Selection) -> str:
    """Return in a sentence why the first offer was chosen, and which other machine comes next."""
    best = selection.candidates[0]
    told = best.forecast
    # A machine has several offers: of one GPU, of two and so on.
    others = [each for each in selection.candidates if each.offer.machine_id != best.offer.machine_id]
    sentence = (
        f"{told.expected_usd:.4f} USD expected: {told.usd_per_hour:.4f} USD per hour for"
        f" {told.busy.total_seconds():.0f} s, {told.traffic_usd:.4f} USD of traffic, odds {told.odds_ratio:.3f}"
    )
    if others:
        other = others[0]
        sentence += (
            f"; next {other.offer.machine_id} {name_gpus(other.offer)} {other.forecast.expected_usd:.4f}"
        )
    return sentence


def name_gpus(offer: Offer) -> str:
    """Return how many GPUs of which kind an offer has."""
    return f"{offer.gpu_count}x {offer.gpu_name}"


def _find_floor(
    offers: Iterable[Offer],
    requirements: Requirements,
    failed_machines: Collection[int],
    avoided: Collection[int],
) -> Floor | None:
    without = replace(requirements, min_usd_per_hour=Decimal(0))
    cheaper = [
        price
        for offer in offers
        if (price := offer.usd_per_hour(requirements.disk_gb)) < requirements.min_usd_per_hour
        and find_rejection_reason(offer, without, failed_machines, avoided) is None
    ]
    return Floor(len(cheaper), min(cheaper)) if cheaper else None

"""Which machine each of twelve jobs takes on the simulator's default market, and took by DLPerf per dollar.

`python -m tests.simulation.choices` prints a row for each job, with the price per hour and with what the job is
expected to cost on the machine: once for the whole market, once without the machines that Ollama cannot use.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from local.simulators.vastai.default_market import DEFAULT_OFFERS
from local.simulators.vastai.market import Market as SimulatedMarket
from local.simulators.vastai.market import describe_listing
from rune.contracts import BenchmarkRequest
from rune.jobs.record import Kind
from rune.rentals.forecast import ExpectedUse, forecast
from rune.rentals.offers import Offer, RejectionReason, Requirements, find_rejection_reason
from rune.rentals.ranking import Market, name_gpus, select_offers
from rune.rentals.record import OLLAMA_IMAGE_BYTES
from rune.rentals.vastai_responses import read_offer
from rune.workflows.rental.dependencies import required_model
from rune.workflows.rental.selection import describe_needs, describe_use
from tests.builders import a_job

MUCH_WORK: Mapping[str, object] = {"prompt_set": "chat", "repetitions": 20, "output_tokens": 500}
SPECIFICATION: Mapping[str, object] = {
    "template_hash": "...",
    "min_dph": 2.3,
    "max_dph": 3.0,
    "reliability": 0.99,
    "question": "What is unhealthy?",
    "model": "llama3.1:8b",
    "backend_warmup": True,
    "vastai_stop_instance": True,
}
JOBS: Sequence[Mapping[str, object]] = (
    {"model": "llama3.2:1b"},
    {"model": "llama3.2:3b", "workload": MUCH_WORK},
    {"model": "llama3.1:8b"},
    {"model": "llama3.1:8b", "workload": MUCH_WORK},
    {"model": "llama3.1:8b", "context_tokens": 131_072},
    {"model": "qwen3:14b", "min_dph": 0.4},
    {"model": "qwen3:32b"},
    {"model": "mixtral:8x7b", "min_dph": 2.3},
    {"model": "llama3.1:70b"},
    {"model": "llama3.1:70b", "min_dph": 2.3, "workload": MUCH_WORK},
    {"model": "llama3.1:405b", "max_dph": 6.0},
    SPECIFICATION,
)
"""Models of 1 to 405 billion parameters, with price floors and without; the specification's own example last."""

_TIME_NEEDED = timedelta(hours=1, minutes=5)


@dataclass(frozen=True, slots=True)
class Choice:
    """A machine that a job takes; `flaw` is why the job fails on it."""

    offer: Offer
    usd_per_hour: Decimal
    expected_usd: Decimal
    flaw: RejectionReason | None

    def __str__(self) -> str:
        machine = f"{self.offer.machine_id} {name_gpus(self.offer)}"
        expected = f"{self.expected_usd:.4f}" if self.flaw is None else f"fails: {self.flaw}"
        return f"{machine} | {self.usd_per_hour:.3f} | {expected}"


def choose(document: Mapping[str, object], *, is_usable: bool) -> tuple[Choice | None, Choice | None]:
    """Return what DLPerf per dollar takes for a job, and the machine on which it is expected to cost least.

    Parameters
    ----------
    is_usable
        Whether machines that Ollama's image cannot use are left out of the market.
    """
    request = BenchmarkRequest.model_validate({"question": "Why?", "vastai": True, **document})
    model = required_model(request)
    needs = describe_needs(request, None, "ollama/ollama", _TIME_NEEDED)
    use = describe_use(a_job(kind=Kind.BENCHMARK), request, model, OLLAMA_IMAGE_BYTES)
    offers = [each for each in list_offers(needs.disk_gb) if not is_usable or _find_flaw(each[0]) is None]
    selection = select_offers([offer for offer, _ in offers], needs, use, Market())
    after = selection.candidates[0].offer if selection.candidates else None
    before = _take_by_dlperf(offers, replace(needs, vram_mb=model.vram_mb))
    return (
        None if before is None else _price(before, use, needs),
        None if after is None else _price(after, use, needs),
    )


def list_offers(disk_gb: int) -> list[tuple[Offer, float]]:
    """Return the default market, and the DLPerf score of each offer."""
    market = SimulatedMarket(DEFAULT_OFFERS, 0.0)
    rows = [
        describe_listing(listing, 0.0, disk_gb=disk_gb, is_bid=False, is_rented=False)
        for listing in market.free(0.0)
    ]
    read = ((read_offer(row), float(str(row["dlperf"]))) for row in rows)
    return [(offer, score) for offer, score in read if offer is not None]


def _take_by_dlperf(offers: list[tuple[Offer, float]], needs: Requirements) -> Offer | None:
    """Return what was taken until commit f09955e, which looked neither at GPU and driver nor at the context."""
    fitting = [
        (score / float(offer.usd_per_hour(needs.disk_gb)), offer)
        for offer, score in offers
        if find_rejection_reason(_with_any_gpu(offer), needs) is None
    ]
    return max(fitting, key=lambda each: each[0])[1] if fitting else None


def _with_any_gpu(offer: Offer) -> Offer:
    return replace(
        offer, gpu_maker="nvidia", cpu_architecture="amd64", compute_capability=890, cuda_version=13.0
    )


def _find_flaw(offer: Offer) -> RejectionReason | None:
    flaws = (RejectionReason.ARCHITECTURE, RejectionReason.COMPUTE_CAPABILITY, RejectionReason.CUDA)
    needs = describe_needs(
        BenchmarkRequest.model_validate({"question": "?", **SPECIFICATION}), None, "", _TIME_NEEDED
    )
    reason = find_rejection_reason(offer, needs)
    return reason if reason in flaws else None


def _price(offer: Offer, use: ExpectedUse, needs: Requirements) -> Choice:
    told = forecast(offer, use, needs.disk_gb)
    flaw = RejectionReason.VRAM if offer.vram_mb < needs.offered_vram_mb else _find_flaw(offer)
    return Choice(offer, told.usd_per_hour, told.expected_usd, flaw)


def _name(document: Mapping[str, object]) -> str:
    told = [str(document["model"])]
    told += [
        f"{name} {document[name]}" for name in ("min_dph", "max_dph", "context_tokens") if name in document
    ]
    told += ["much work"] if "workload" in document else []
    return ", ".join(told)


def main() -> None:
    """Print both tables."""
    for is_usable in (False, True):
        print("| job | before | USD/h | expected USD | now | USD/h | expected USD |")
        print("|---|---|---|---|---|---|---|")
        for document in JOBS:
            before, after = choose(document, is_usable=is_usable)
            print(f"| {_name(document)} | {before or 'none | - | -'} | {after or 'none | - | -'} |")
        print()


if __name__ == "__main__":
    main()

"""What a job's rentals cost, in its result."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rune.amounts import MICRO_USD_PER_USD
from rune.bench.costs import add_cost, time_to_ready
from rune.contracts import (
    BenchmarkReport,
    HardwareReport,
    LlmInstanceResult,
    RentalReceipt,
    StoredBenchmarkResult,
    read_stored,
)
from rune.jobs.record import Job, Kind
from rune.rentals.bills import borrowers_bytes
from rune.rentals.record import Rental

_BUSY_PHASES = frozenset({"pull", "load", "first_token", "measure"})
"""Phases in which the machine pulls the model, loads it or is asked; `judge` is one where it judges too."""


CHOSEN_AS_KEPT = "It was kept, and fits; a machine that is there is not searched for."
"""Why a job has a machine that it has not rented; the plan of the order was its owner's."""


@dataclass(frozen=True, slots=True)
class BilledUse:
    """The use of a job's machines that was billed.

    Attributes
    ----------
    rental
        The rental that the job used last.
    gpu_time
        Of all machines of the job, failed attempts included.
    judges_too
        Whether the answers were judged on that machine.
    """

    rental: Rental
    gpu_time: timedelta
    judges_too: bool = False


def make_receipt(job: Job, rental: Rental, attempt_count: int, cost_micro_usd: int) -> RentalReceipt:
    """Return the receipt of a job for the machine that it used last; the cost is that of all."""
    machine, is_reused = rental.machine, rental.job_id != job.job_id
    return RentalReceipt(
        rental_id=rental.rental_id,
        contract_id=rental.contract_id or 0,
        machine_id=machine.machine_id,
        gpu_name=machine.gpu_name,
        gpu_count=machine.gpu_count,
        vram_mb=machine.vram_mb,
        disk_gb=machine.disk_gb,
        place=machine.place,
        price_usd_per_hour=to_usd(rental.prices.micro_usd_per_hour),
        cost_usd=to_usd(cost_micro_usd),
        attempt_count=max(1, attempt_count),
        downloaded_bytes=borrowers_bytes(rental) if is_reused else rental.downloaded_bytes,
        is_reused=is_reused,
        rented_at=rental.intended_at,
        released_at=rental.released_at,
        kept_until=rental.kept_until if rental.is_alive else None,
        chosen_because=CHOSEN_AS_KEPT if is_reused else rental.choice,
        is_open_to_the_world=rental.is_open,
        destroys_itself=rental.destroys_itself,
    )


def sum_gpu_time(attempts: Iterable[Rental], now: datetime) -> timedelta:
    """Return for how long the GPUs of a job's own rentals were billed, up to now for one that is still alive.

    As in `rune.rentals.bills`: from the last moment at which a machine was seen not running until the listing had
    come that proved it gone, which is when its row was last written.
    """
    spans = (
        (rental.last_seen_stopped_at or rental.intended_at, now if rental.is_alive else rental.updated_at)
        for rental in attempts
        if rental.contract_id is not None
    )
    return sum((max(timedelta(0), until - since) for since, until in spans), timedelta(0))


def borrowed_gpu_time(cost_micro_usd: int, rental: Rental) -> timedelta:
    """Return how long a job used kept machines, from its cost for that time, at the price of this one."""
    if not rental.prices.micro_usd_per_hour:
        return timedelta(0)
    return timedelta(hours=cost_micro_usd / rental.prices.micro_usd_per_hour)


def add_receipt(
    kind: Kind, result_json: str, receipt: RentalReceipt, use: BilledUse, token_micro_usd: int = 0
) -> str:
    """Return the result with the receipt in it, and the cost where clients look for it, that of tokens included.

    Raises
    ------
    UnreadableRowError
        This version does not understand the result.
    """
    update: dict[str, object] = {"rental": receipt, "contract_id": receipt.contract_id}
    if kind is Kind.LLM_INSTANCE:
        update["warnings"] = ("open_to_the_world",) if receipt.is_open_to_the_world else ()
        return read_stored(LlmInstanceResult, result_json).model_copy(update=update).model_dump_json()
    result = read_stored(StoredBenchmarkResult, result_json)
    cost_usd = float(Decimal(repr(receipt.cost_usd)) + Decimal(token_micro_usd) / MICRO_USD_PER_USD)
    telemetry = result.telemetry.model_copy(update={"cost_estimate_usd": cost_usd})
    report = None if result.report is None else _priced(result, result.report, receipt, use)
    update = {**update, "telemetry": telemetry, "report": report}
    return result.model_copy(update=update).model_dump_json()


def _priced(
    result: StoredBenchmarkResult, report: BenchmarkReport, receipt: RentalReceipt, use: BilledUse
) -> BenchmarkReport:
    """Return the report with its cost, the machine's hardware, and the time until it was ready."""
    machine = use.rental.machine
    phases_ms = {each.phase: each.ms for each in result.telemetry.latency}
    busy = _BUSY_PHASES | ({"judge"} if use.judges_too else set())
    priced = add_cost(
        report,
        price_usd_per_hour=receipt.price_usd_per_hour,
        billed_usd=receipt.cost_usd,
        billed_seconds=use.gpu_time.total_seconds(),
        busy_seconds=sum(ms for phase, ms in phases_ms.items() if phase in busy) / 1000,
        warmup_output_tokens=result.bookkeeping.warmup_output_tokens,
    )
    hardware = HardwareReport(
        provider="vastai",
        machine_id=machine.machine_id,
        gpu_name=machine.gpu_name,
        gpu_count=machine.gpu_count,
        vram_mb=machine.vram_mb,
        disk_gb=machine.disk_gb,
        place=machine.place,
    )
    # A borrower's bill ends when it gives the machine back.
    is_open = use.rental.is_alive and not receipt.is_reused
    warnings = [*priced.warnings, *(["cost_so_far"] if is_open else [])]
    return priced.model_copy(
        update={
            "hardware": hardware,
            "time_to_ready": time_to_ready(phases_ms, receipt.downloaded_bytes),
            "warnings": warnings,
        }
    )


def to_usd(micro_usd: int) -> float:
    """Return dollars, as in JSON, from millionths of a dollar."""
    return float(Decimal(micro_usd) / MICRO_USD_PER_USD)

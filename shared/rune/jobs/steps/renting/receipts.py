"""What a job's rentals cost, in its result."""

from decimal import Decimal

from rune.contracts import BenchmarkResult, LlmInstanceResult, RentalReceipt
from rune.jobs.record import Job, Kind
from rune.rentals.record import MICRO_USD_PER_USD, Rental


def make_receipt(job: Job, rental: Rental, attempt_count: int, cost_micro_usd: int) -> RentalReceipt:
    """Return the receipt of a job for the machine that it used last; the cost is that of all."""
    machine = rental.machine
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
        downloaded_bytes=rental.downloaded_bytes,
        is_reused=rental.job_id != job.job_id,
        rented_at=rental.intended_at,
        released_at=rental.released_at,
        kept_until=rental.kept_until if rental.is_alive else None,
        is_open_to_the_world=rental.is_open,
        destroys_itself=rental.guards_itself,
    )


def add_receipt(kind: Kind, result_json: str, receipt: RentalReceipt) -> str:
    """Return the result with the receipt in it, and the cost where clients look for it."""
    said = {"rental": receipt, "contract_id": receipt.contract_id}
    if kind is Kind.LLM_INSTANCE:
        return LlmInstanceResult.model_validate_json(result_json).model_copy(update=said).model_dump_json()
    result = BenchmarkResult.model_validate_json(result_json)
    telemetry = result.telemetry.model_copy(update={"cost_estimate_usd": receipt.cost_usd})
    return result.model_copy(update={**said, "telemetry": telemetry}).model_dump_json()


def to_usd(micro_usd: int) -> float:
    """Return dollars as JSON has them, from a whole number of millionths."""
    return float(Decimal(micro_usd) / MICRO_USD_PER_USD)

"""The receipt of a job as a document, and as a page for people. Pure."""

from datetime import timedelta
from decimal import Decimal

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.receipts import JobReceipt, ReceiptLine, ReceiptMachine
from rune.jobs.receipts import Receipt
from rune.jobs.record import Job
from rune.money.receipts import PROVIDERS, LineKind, describe_parts, show_duration, show_usd, sum_of

_SECOND = timedelta(seconds=1)


def to_document(job: Job, receipt: Receipt) -> JobReceipt:
    """Return the receipt of a job that has ended."""
    cost, own = sum_of(receipt.lines, *PROVIDERS), sum_of(receipt.lines, LineKind.AWS)
    return JobReceipt(
        job_id=job.job_id,
        kind=job.kind.value,
        status=job.status.value,
        finished_at=job.finished_at,
        display=describe(job, receipt),
        cost_usd=_usd(cost),
        aws_usd=_usd(own),
        total_usd=_usd(cost + own),
        lines=[
            ReceiptLine(
                attempt=line.attempt, phase=line.phase, kind=line.kind.value, micro_usd=line.micro_usd
            )
            for line in receipt.lines
        ],
        machines=[
            ReceiptMachine(
                rental_id=use.rental_id,
                attempt=use.attempt,
                gpu_name=use.gpu_name,
                gpu_count=use.gpu_count,
                price_usd_per_hour=_usd(use.micro_usd_per_hour),
                cost_usd=_usd(sum(line.micro_usd for line in use.lines)),
                ended_because=use.end_reason,
            )
            for use in receipt.uses
        ],
        aws_prices_as_of=receipt.aws_prices_as_of,
    )


def describe(job: Job, receipt: Receipt) -> str:
    """Return how a job ended and what it cost, as one sentence."""
    began_at, ended_at = job.started_at, job.finished_at
    took = ""
    if began_at is not None and ended_at is not None:
        took = f" after {show_duration((ended_at - began_at) // _SECOND)}"
    parts = describe_parts(receipt.lines)
    cost = f"${0:.2f}" if not parts else f"{show_usd(sum_of(receipt.lines, *PROVIDERS))} ({parts})"
    return f"The job {_END[job.status.value]}{took}; it cost {cost}."


_END = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}


def to_markdown(document: JobReceipt) -> str:
    """Return the receipt as a page for people."""
    rows = [
        f"| {'' if line.attempt is None else line.attempt} | {line.phase} | {line.kind} "
        f"| {line.micro_usd / MICRO_USD_PER_USD:.6f} |"
        for line in document.lines
    ]
    return "\n".join(
        [
            f"# Receipt of {document.job_id}",
            "",
            document.display,
            "",
            "| attempt | phase | kind | USD |",
            "|---|---|---|---:|",
            *rows,
            f"| | | **cost** | **{document.cost_usd:.6f}** |",
            f"| | | own cost at AWS, list prices of {document.aws_prices_as_of} | {document.aws_usd:.6f} |",
            "",
        ]
    )


def _usd(micro_usd: int) -> float:
    return float(Decimal(micro_usd) / MICRO_USD_PER_USD)

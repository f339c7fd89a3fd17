"""The receipt of a job as a document, and as a page for people. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from rune.amounts import MICRO_USD_PER_USD
from rune.contracts.receipts import JobReceipt, NoticeCode, ReceiptLine, ReceiptMachine, ReceiptNotice
from rune.jobs.receipts import Receipt, charged_micro_usd, describe
from rune.jobs.record import Job
from rune.money.receipts import OF_MACHINES, PROVIDERS, ChargeProblem, LineKind, charged_lines, sum_of


def to_document(job: Job, receipt: Receipt) -> JobReceipt:
    """Return the receipt of a job that has ended."""
    cost, own = sum_of(receipt.lines, *PROVIDERS), sum_of(receipt.lines, LineKind.AWS)
    charged = charged_micro_usd(receipt)
    charges = {charge.attempt: charge for charge in receipt.charges}
    differences = () if charged is None else charged_lines(receipt.uses, receipt.lines, receipt.charges)
    provided = [line for line in receipt.lines if line.kind is not LineKind.AWS]
    of_aws = [line for line in receipt.lines if line.kind is LineKind.AWS]
    return JobReceipt(
        job_id=job.job_id,
        kind=job.kind.value,
        status=job.status.value,
        finished_at=job.finished_at,
        display=describe(job, receipt),
        cost_usd=_usd(cost),
        billed_usd=None if charged is None else _usd(charged),
        aws_usd=_usd(own),
        total_usd=_usd(cost + own + sum_of(differences, *PROVIDERS)),
        lines=[
            ReceiptLine(
                attempt=line.attempt,
                phase=line.phase,
                kind=line.kind.value,
                micro_usd=line.micro_usd,
                is_estimate=charged is None and line.kind in OF_MACHINES,
            )
            for line in (*provided, *differences, *of_aws)
        ],
        machines=[
            ReceiptMachine(
                rental_id=use.rental_id,
                attempt=use.attempt,
                gpu_name=use.gpu_name,
                gpu_count=use.gpu_count,
                price_usd_per_hour=_usd(use.micro_usd_per_hour),
                cost_usd=_usd(sum(line.micro_usd for line in use.lines)),
                billed_usd=_usd(charges[use.attempt].micro_usd)
                if use.attempt in charges and not use.is_shared
                else None,
                ended_because=use.end_reason,
            )
            for use in receipt.uses
        ],
        notices=_notices(receipt, charged),
        aws_prices_as_of=receipt.aws_prices_as_of,
    )


_MESSAGES: Mapping[NoticeCode, str] = {
    "charges_pending": "What the provider charged is read from the day after on. Until then machines cost what "
    "RUNE has recorded, without what strangers may have moved to and from an open machine.",
    "charges_not_allowed": "What the provider charged is not known: its key lacks the scope billing_read.",
    "charges_not_there": "What the provider charged is not known: it has named no charge for a machine so far.",
    "machine_shared": "A machine was used by other jobs too, or was kept. What the provider charged for it is on "
    "its rental, and is no single job's.",
}


def _notices(receipt: Receipt, charged: int | None) -> list[ReceiptNotice]:
    """Return why it is not known what the provider charged; nothing where it is, or nothing was rented."""
    code: NoticeCode
    if charged is not None or not receipt.uses:
        return []
    if any(use.is_shared for use in receipt.uses):
        code = "machine_shared"
    elif receipt.charge_problem == ChargeProblem.NOT_ALLOWED:
        code = "charges_not_allowed"
    else:
        is_missing = receipt.charge_problem == ChargeProblem.NOT_THERE
        code = "charges_not_there" if is_missing else "charges_pending"
    return [ReceiptNotice(code=code, message=_MESSAGES[code])]


def to_markdown(document: JobReceipt) -> str:
    """Return the receipt as a page for people."""
    rows = [
        f"| {'' if line.attempt is None else line.attempt} | {line.phase} | {line.kind} "
        f"| {line.micro_usd / MICRO_USD_PER_USD:.6f} |"
        for line in document.lines
    ]
    billed = "" if document.billed_usd is None else f"{document.billed_usd:.6f}"
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
            f"| | | charged for machines | {billed or 'not known'} |",
            f"| | | own cost at AWS, list prices of {document.aws_prices_as_of} | {document.aws_usd:.6f} |",
            "",
            *(notice.message for notice in document.notices),
            "",
        ]
    )


def _usd(micro_usd: int) -> float:
    return float(Decimal(micro_usd) / MICRO_USD_PER_USD)

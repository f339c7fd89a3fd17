"""The receipt of a job: a row beside it, written in the transaction that ends it, however it ends.

Later versions of the row's text may have more members. The lines are stored as short lists, since a write is billed
by the KB.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.errors import UnreadableRowError
from rune.jobs.record import Job, Status
from rune.money.aws_prices import PRICES_AS_OF, AwsUse
from rune.money.receipts import (
    Charge,
    Line,
    LineKind,
    MachineUse,
    Phase,
    add_up,
    aws_lines,
    describe_cost,
    show_duration,
    show_usd,
)
from rune.storage.change import Change, Is, make_change

FORMAT = 1
"""Of the row, as in `rune.aws.dynamodb_rows`."""

_IN_A_FUNCTION = frozenset({"load", "first_token", "measure", "judge", "ask", "pull"})
"""Measured times of a job in which a function is at work for it; in all others it waits without one."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """The row of a job's receipt."""

    job_id: str


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """The row's content.

    Attributes
    ----------
    body
        As `write_receipt` makes it; `read_receipt` reads it.
    charges
        What the provider charged for machines that were the job's alone, as far as that was read.
    charge_problem
        Why one of them is not known, as a `ChargeProblem`.
    """

    body: str = ""
    format: int = FORMAT
    version: int = 0
    updated_at: datetime | None = None
    charges: tuple[Charge, ...] = ()
    charge_problem: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt.

    Attributes
    ----------
    uses
        The machines that the job has paid for.
    lines
        All, those of our own cost last.
    aws_prices_as_of
        Date, as ISO writes it.
    charges, charge_problem
        As in `StoredReceipt`.
    """

    uses: tuple[MachineUse, ...]
    lines: tuple[Line, ...]
    aws_prices_as_of: str
    charges: tuple[Charge, ...] = ()
    charge_problem: str | None = None


def write_receipt(job: Job, receipt: Receipt, now: datetime) -> Change:
    """Return the write of the receipt of a job that ends.

    Its lines, without those of our own cost, add up to the cost of the job.
    """
    return make_change(
        "write_receipt",
        now,
        requires=(),
        sets={"body": _to_json(receipt), "format": FORMAT, "expires_at": job.expires_at},
    )


def note_charge(
    stored: StoredReceipt, attempt: int, charge: Charge | None, problem: str | None, now: datetime
) -> Change | None:
    """Return the write that says what the provider charged for one attempt; None where that is written.

    Parameters
    ----------
    charge
        None where it is not known; what was known before remains.
    problem
        None leaves what is written, which may be of another attempt.
    """
    problem = problem or stored.charge_problem
    others = tuple(each for each in stored.charges if each.attempt != attempt)
    charges = stored.charges
    if charge is not None:
        charges = tuple(sorted((*others, charge), key=lambda each: each.attempt))
    if (charges, problem) == (stored.charges, stored.charge_problem):
        return None
    return make_change(
        "note_charge",
        now,
        requires=(Is("version", stored.version),),
        sets={"charges": charges, "charge_problem": problem},
    )


def make_receipt(ended: Job, uses: Sequence[MachineUse]) -> Receipt:
    """Return the receipt of a job that has ended.

    Parameters
    ----------
    uses
        What its machines cost it, as far as that is known.
    """
    known = [line for use in uses for line in use.lines]
    if ended.token_micro_usd:
        known.append(Line(None, Phase.WORK.value, LineKind.TOKENS, ended.token_micro_usd))
    lines = add_up(known, ended.cost_micro_usd)
    function_ms = sum(ms for name, ms in ended.phases_ms.items() if name in _IN_A_FUNCTION)
    own = aws_lines(AwsUse(ended.seq, function_ms))
    return Receipt(tuple(uses), (*lines, *own), PRICES_AS_OF.isoformat())


def describe(ended: Job, receipt: Receipt) -> str:
    """Return how a job ended, what it cost, and what the provider charged if known: one sentence for people."""
    began_at, ended_at = ended.started_at, ended.finished_at
    took = ""
    if began_at is not None and ended_at is not None:
        took = f" after {show_duration((ended_at - began_at) // _SECOND)}"
    charged = charged_micro_usd(receipt)
    told = "" if charged is None else f"; the provider charged {show_usd(charged)}"
    return f"The job {_END[ended.status]}{took}: {describe_cost(receipt.uses, receipt.lines)}{told}."


_SECOND = timedelta(seconds=1)
_END = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}


def charged_micro_usd(receipt: Receipt) -> int | None:
    """Return what the provider charged for all machines of a job; None where it had none, or not all is known.

    A machine that others have used too is charged as a whole, which is no job's.
    """
    if not receipt.uses or any(use.is_shared for use in receipt.uses):
        return None
    if {use.attempt for use in receipt.uses} - {charge.attempt for charge in receipt.charges}:
        return None
    return sum(charge.micro_usd for charge in receipt.charges)


def read_receipt(stored: StoredReceipt) -> Receipt:
    """Return a receipt from its row.

    Raises
    ------
    UnreadableRowError
        This version does not understand it.
    """
    try:
        body = json.loads(stored.body)
        lines = tuple(_line(each) for each in body["lines"])
        uses = tuple(_use(each, lines) for each in body["machines"])
        return Receipt(
            uses,
            lines,
            body["aws_prices_as_of"],
            charges=stored.charges,
            charge_problem=stored.charge_problem,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRowError("This version does not understand a receipt.") from error


def _to_json(receipt: Receipt) -> str:
    machines = [
        {
            "id": use.rental_id,
            "attempt": use.attempt,
            "gpu": use.gpu_name,
            "count": use.gpu_count,
            "price": use.micro_usd_per_hour,
            "end": use.end_reason,
            "seconds": use.seconds,
            **_kept(use),
        }
        for use in receipt.uses
    ]
    lines = [[line.attempt, line.phase, line.kind.value, line.micro_usd] for line in receipt.lines]
    body = {"machines": machines, "lines": lines, "aws_prices_as_of": receipt.aws_prices_as_of}
    return json.dumps(body, separators=(",", ":"))


def _kept(use: MachineUse) -> dict[str, object]:
    if use.kept_until is None:
        return {}
    return {"kept_until": use.kept_until.isoformat(), "kept_most": use.kept_micro_usd}


def _line(stored: list[object]) -> Line:
    attempt, phase, kind, micro_usd = stored
    if not (isinstance(attempt, int | None) and isinstance(micro_usd, int)):
        raise TypeError("A line has whole numbers.")
    return Line(attempt, str(phase), LineKind(str(kind)), micro_usd)


def _use(stored: dict[str, object], lines: Sequence[Line]) -> MachineUse:
    attempt, count, price, end = (stored[name] for name in ("attempt", "count", "price", "end"))
    if not (isinstance(attempt, int | None) and isinstance(count, int) and isinstance(price, int)):
        raise TypeError("A machine has whole numbers.")
    own = tuple(
        line
        for line in lines
        if line.attempt == attempt and line.kind is not LineKind.AWS and line.phase != Phase.OTHER.value
    )
    seconds, kept_most = (stored.get(name, 0) for name in ("seconds", "kept_most"))
    kept_until = stored.get("kept_until")
    return MachineUse(
        rental_id=str(stored["id"]),
        attempt=attempt,
        gpu_name=str(stored["gpu"]),
        gpu_count=count,
        micro_usd_per_hour=price,
        end_reason=None if end is None else str(end),
        lines=own,
        seconds=seconds if isinstance(seconds, int) else 0,
        kept_until=None if kept_until is None else datetime.fromisoformat(str(kept_until)),
        kept_micro_usd=kept_most if isinstance(kept_most, int) else 0,
    )

"""The receipt of a job: a row beside it, written in the transaction that ends it, however it ends.

Later versions of the row's text may have more members. The lines are stored as short lists, since a write is billed
by the KB.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rune.errors import UnreadableRowError
from rune.jobs.record import Job
from rune.money.aws_prices import PRICES_AS_OF, AwsUse
from rune.money.receipts import Line, LineKind, MachineUse, Phase, add_up, aws_lines
from rune.storage.change import Change, apply, make_change

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
    billed_micro_usd
        What the provider charged for all machines of the job, which were its alone; None until that was read.
    """

    body: str = ""
    format: int = FORMAT
    version: int = 0
    updated_at: datetime | None = None
    billed_micro_usd: int | None = None
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
    """

    uses: tuple[MachineUse, ...]
    lines: tuple[Line, ...]
    aws_prices_as_of: str


def write_receipt(job: Job, end: Change, uses: Sequence[MachineUse], now: datetime) -> Change:
    """Return the write of the receipt of a job that ends by a change of its hot item.

    Its lines, without those of our own cost, add up to the cost of the job.

    Parameters
    ----------
    uses
        What its machines cost it, as far as that is known.
    """
    receipt = make_receipt(apply(end, job), uses)
    return make_change(
        "write_receipt",
        now,
        requires=(),
        sets={"body": _to_json(receipt), "format": FORMAT, "expires_at": job.expires_at},
    )


def note_billed(micro_usd: int, now: datetime, expires_at: datetime) -> Change:
    """Return the write that says what the provider charged for all machines of a job.

    Parameters
    ----------
    expires_at
        Of a row that is not there, or no longer.
    """
    return make_change(
        "note_billed_job",
        now,
        requires=(),
        sets={"billed_micro_usd": micro_usd},
        sets_once={"expires_at": expires_at},
    )


def make_receipt(ended: Job, uses: Sequence[MachineUse]) -> Receipt:
    """Return the receipt of a job that has ended."""
    known = [line for use in uses for line in use.lines]
    if ended.token_micro_usd:
        known.append(Line(None, Phase.WORK.value, LineKind.TOKENS, ended.token_micro_usd))
    lines = add_up(known, ended.cost_micro_usd)
    function_ms = sum(ms for name, ms in ended.phases_ms.items() if name in _IN_A_FUNCTION)
    own = aws_lines(AwsUse(ended.seq, function_ms))
    return Receipt(tuple(uses), (*lines, *own), PRICES_AS_OF.isoformat())


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
        return Receipt(uses, lines, body["aws_prices_as_of"])
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
        }
        for use in receipt.uses
    ]
    lines = [[line.attempt, line.phase, line.kind.value, line.micro_usd] for line in receipt.lines]
    body = {"machines": machines, "lines": lines, "aws_prices_as_of": receipt.aws_prices_as_of}
    return json.dumps(body, separators=(",", ":"))


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
    return MachineUse(
        str(stored["id"]), attempt, str(stored["gpu"]), count, price, None if end is None else str(end), own
    )

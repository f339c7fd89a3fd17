"""What each of a job's machines cost it, by phase and kind, for its receipt."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rune.jobs.receipts import Receipt
from rune.jobs.record import Job
from rune.money.receipts import Line, LineKind, MachineUse, Phase, make_lines, split, sum_of
from rune.rentals.bills import (
    Parts,
    borrowers_bytes,
    come_bytes,
    cost_parts,
    cost_to_job_micro_usd,
    parts_of_borrower,
    parts_so_far,
)
from rune.rentals.record import EndReason, Rental

_MILLISECOND = timedelta(milliseconds=1)

_PHASES = {
    "pull": Phase.PULL,
    "load": Phase.LOAD,
    "first_token": Phase.LOAD,
    "measure": Phase.WORK,
    "judge": Phase.JUDGE,
}
"""Which phase a measured time of a job (`Job.phases_ms`) belongs to, of those in which it has its machine."""

_FAILED_BY_ITS_MODEL = frozenset({EndReason.MODEL_FAILED, EndReason.PULL_TOO_SLOW})


def list_uses(
    job: Job, attempts: tuple[Rental, ...], used: Rental | None, now: datetime
) -> tuple[MachineUse, ...]:
    """Return what a job's machines cost it up to now: its own attempts in order, then the one that it has borrowed.

    An order for which no machine was made is left out.

    Parameters
    ----------
    used
        The rental that it used last; where it has borrowed that, as it was before it was given back.
    """
    own = tuple(
        _use(
            each,
            each.attempt,
            _own_lines(each, job, now),
            _span(each.intended_at, _parts_of_own(each, now).until),
        )
        for each in attempts
        if each.contract_id is not None
    )
    if used is None or used.job_id == job.job_id or used.contract_id is None:
        return own
    had_ms = _span(used.held_since, now) if used.holder == job.job_id and used.held_since else 0
    return (*own, _use(used, None, _borrowed_lines(used, job, now), had_ms))


def add_late_costs(receipt: Receipt, attempts: Iterable[Rental], now: datetime) -> Receipt:
    """Return a job's receipt with what its machines have cost since its end.

    A job ends when its machines are proven gone. One may come back all the same, and an order whose answer was lost
    may make its machine afterwards. Both are destroyed, and what they have cost until then is in the phase `late`.
    """
    uses = {use.rental_id: use for use in receipt.uses}
    late: list[Line] = []
    for rental in attempts:
        had_ms = _span(rental.intended_at, _parts_of_own(rental, now).until)
        whole = _use(rental, rental.attempt, (), had_ms)
        told = uses.get(rental.rental_id, whole)
        lines = _late_lines(rental, told, now)
        if lines:
            late += lines
            uses[rental.rental_id] = replace(whole, lines=(*told.lines, *lines))
    own = [line for line in receipt.lines if line.kind is LineKind.AWS]
    charged = [line for line in receipt.lines if line.kind is not LineKind.AWS]
    return replace(receipt, uses=tuple(uses.values()), lines=(*charged, *late, *own))


def _late_lines(rental: Rental, use: MachineUse, now: datetime) -> tuple[Line, ...]:
    """Return the lines of what a rental costs beyond what a receipt tells of it."""
    if rental.kept_until is not None or rental.of_job_micro_usd is None:
        return ()  # it was never opened again
    parts = _parts_of_own(rental, now)
    told = sum(line.micro_usd for line in use.lines) or rental.of_job_micro_usd
    missing = parts.micro_usd - told
    if missing <= 0:
        return ()
    of_kinds = {
        LineKind.GPU: parts.gpu_micro_usd,
        LineKind.DISK: parts.disk_micro_usd,
        LineKind.TRAFFIC: parts.traffic_micro_usd,
    }
    weights = [max(0, micro_usd - sum_of(use.lines, kind)) for kind, micro_usd in of_kinds.items()]
    shares = zip(of_kinds, split(missing, weights), strict=True)
    return tuple(
        line for kind, part in shares for line in make_lines(rental.attempt, kind, part, {Phase.LATE: 1})
    )


def _use(rental: Rental, attempt: int | None, lines: tuple[Line, ...], had_ms: int) -> MachineUse:
    # A kept machine may have ended before its job: whoever has kept it may be lost before that writes its end.
    is_ended = not rental.is_alive and rental.kept_until is None
    # Whoever borrowed it had found it kept, and its end is not theirs.
    is_kept = rental.is_alive and attempt is not None
    return MachineUse(
        rental_id=rental.rental_id,
        attempt=attempt,
        gpu_name=rental.machine.gpu_name,
        gpu_count=rental.machine.gpu_count,
        micro_usd_per_hour=rental.prices.micro_usd_per_hour,
        end_reason=rental.end_reason.value if is_ended and rental.end_reason is not None else None,
        lines=lines,
        seconds=had_ms // 1_000,
        kept_until=rental.kept_until if is_kept else None,
        kept_micro_usd=rental.budget_micro_usd if is_kept else 0,
    )


def _own_lines(rental: Rental, job: Job, now: datetime) -> tuple[Line, ...]:
    parts = _parts_of_own(rental, now)
    billed_from = rental.last_seen_stopped_at or rental.intended_at
    image_bytes = rental.image_bytes
    model_bytes = rental.downloaded_bytes + come_bytes(rental, parts.until)
    gpu = _weights(rental, job, billed_from, parts.until)
    disk = _weights(rental, job, rental.intended_at, parts.until)
    return (
        *make_lines(rental.attempt, LineKind.GPU, parts.gpu_micro_usd, gpu),
        *make_lines(rental.attempt, LineKind.DISK, parts.disk_micro_usd, disk),
        *make_lines(
            rental.attempt,
            LineKind.TRAFFIC,
            parts.traffic_micro_usd,
            {Phase.BOOT: image_bytes, Phase.PULL: model_bytes},
        ),
    )


def _parts_of_own(rental: Rental, now: datetime) -> Parts:
    """Return the parts of what a rental costs the job that rented it."""
    if rental.cost_micro_usd is None:
        known = parts_so_far(rental, now)
    else:
        gone_at = rental.absent_at or max(rental.released_at or rental.updated_at, rental.updated_at)
        known = cost_parts(rental, gone_at)
    weights = (known.gpu_micro_usd, known.disk_micro_usd, known.traffic_micro_usd)
    return Parts(known.until, *split(cost_to_job_micro_usd(rental, now), weights))


def _borrowed_lines(rental: Rental, job: Job, now: datetime) -> tuple[Line, ...]:
    if rental.holder != job.job_id or rental.held_since is None:
        return ()  # it was given back before: only the sum is known
    parts = parts_of_borrower(rental, rental.held_since, now)
    weights = _within(job, rental.held_since, now)
    return (
        *make_lines(None, LineKind.GPU, parts.gpu_micro_usd, weights),
        *make_lines(None, LineKind.DISK, parts.disk_micro_usd, weights),
        *make_lines(
            None, LineKind.TRAFFIC, parts.traffic_micro_usd, {Phase.PULL: max(1, borrowers_bytes(rental))}
        ),
    )


def _weights(rental: Rental, job: Job, since: datetime, until: datetime) -> Mapping[Phase, int]:
    """Return how long each phase of a rental took within a span, in milliseconds."""
    asked_at = min(rental.release_asked_at or until, until)
    ready_at = min(rental.running_at or asked_at, asked_at)
    weights = {Phase.BOOT: _span(since, ready_at)}
    begun_at = max(since, ready_at)
    if rental.rental_id == job.rental_id:
        weights |= _within(job, begun_at, asked_at)
    else:
        phase = Phase.PULL if rental.end_reason in _FAILED_BY_ITS_MODEL else Phase.WORK
        weights[phase] = _span(begun_at, asked_at)
    return {**weights, Phase.RELEASE: _span(max(since, asked_at), until)}


def _within(job: Job, since: datetime, until: datetime) -> dict[Phase, int]:
    """Return how long the phases of a job took that fall into a span: what is not measured is waiting."""
    left = _span(since, until)
    weights: dict[Phase, int] = {}
    for name, phase in _PHASES.items():
        took = min(left, job.phases_ms.get(name, 0))
        weights[phase] = weights.get(phase, 0) + took
        left -= took
    return {**weights, Phase.WAIT: left}


def _span(since: datetime, until: datetime) -> int:
    return max(timedelta(0), until - since) // _MILLISECOND

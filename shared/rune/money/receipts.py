"""A job's receipt as lines, in whole millionths of a dollar that add up to what the job says that it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from rune.amounts import MICRO_USD_PER_USD
from rune.money.aws_prices import AwsUse, terms_of

SMALLEST_SHOWN_MICRO_USD = 100
"""Less than a hundredth of a cent is shown as such, not as nothing."""

_CENT_MICRO_USD = 10_000


class LineKind(StrEnum):
    """What a line is paid for."""

    GPU = "gpu"
    DISK = "disk"
    TRAFFIC = "traffic"
    TOKENS = "tokens"
    AWS = "aws"
    """Our own cost, by list prices; not part of what the job cost at its providers."""


class Phase(StrEnum):
    """When it was paid for."""

    BOOT = "boot"
    """From the order until the machine's server answered, its image included."""
    PULL = "pull"
    LOAD = "load"
    WORK = "work"
    JUDGE = "judge"
    WAIT = "wait"
    """The machine was there, and none of the job's turns used it."""
    RELEASE = "release"
    """From the order to destroy it until it was proven gone."""
    LATE = "late"
    """After the job's end: its machine came back after it was proven gone, or an order made it late."""
    OTHER = "other"
    """Known only in sum: of machines that were borrowed before, or where a bill could not be read."""
    CHARGED = "charged"
    """By how much the provider's charges differ from what was written; known the day after."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes
    ----------
    attempt
        Number of the job's attempt to rent; None where it is of none, such as of a machine that was borrowed.
    phase
        A `Phase`, and of our own cost the term.
    """

    attempt: int | None
    phase: str
    kind: LineKind
    micro_usd: int


@dataclass(frozen=True, slots=True)
class MachineUse:
    """A machine that a job has paid for.

    Attributes
    ----------
    attempt
        None for a machine that another job had rented.
    end_reason
        Why it ended; None where it was kept.
    lines
        What it cost this job.
    seconds
        For how long the job had it; 0 where an earlier version has written.
    kept_until
        When it ends, as the job's end knew it; None where it was not kept for others.
    kept_micro_usd
        What it may cost at most after the job's end; 0 where no budget holds that for it.
    """

    rental_id: str
    attempt: int | None
    gpu_name: str
    gpu_count: int
    micro_usd_per_hour: int
    end_reason: str | None
    lines: tuple[Line, ...]
    seconds: int = 0
    kept_until: datetime | None = None
    kept_micro_usd: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether others have used the machine too, so that the provider's charge is not this job's alone."""
        return self.attempt is None or self.end_reason is None


@dataclass(frozen=True, slots=True)
class Charge:
    """What the provider charged for a machine, in millionths of a dollar.

    Attributes
    ----------
    attempt
        Number of the job's attempt to rent; 0 where it is of none.
    """

    gpu_micro_usd: int = 0
    disk_micro_usd: int = 0
    traffic_micro_usd: int = 0
    attempt: int = 0

    @property
    def micro_usd(self) -> int:
        """The sum."""
        return self.gpu_micro_usd + self.disk_micro_usd + self.traffic_micro_usd

    def plus(self, other: "Charge") -> "Charge":
        """Return both together."""
        return replace(
            self,
            gpu_micro_usd=self.gpu_micro_usd + other.gpu_micro_usd,
            disk_micro_usd=self.disk_micro_usd + other.disk_micro_usd,
            traffic_micro_usd=self.traffic_micro_usd + other.traffic_micro_usd,
        )


class ChargeProblem(StrEnum):
    """Why it is not known what the provider charged."""

    NOT_ALLOWED = "charges_not_allowed"
    """Its key may not read charges, for want of the scope `billing_read`."""
    NOT_THERE = "charges_not_there"
    """It has named no charge for the machine."""


def split(micro_usd: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return whole parts of an amount by weight, which add up to it: the largest remainders are rounded up.

    Without any weight all of it is the last part.
    """
    total = sum(weights)
    if total == 0:
        return (*(0 for _ in weights[:-1]), micro_usd)
    parts = [micro_usd * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(micro_usd * weights[at] % total), at))
    for at in by_remainder[: micro_usd - sum(parts)]:
        parts[at] += 1
    return tuple(parts)


def make_lines(
    attempt: int | None, kind: LineKind, micro_usd: int, weights: Mapping[Phase, int]
) -> tuple[Line, ...]:
    """Return the lines of one kind over phases, by their weights; none for a part that is nothing."""
    if not micro_usd:
        return ()
    parts = split(micro_usd, [*weights.values()])
    return tuple(
        Line(attempt, phase.value, kind, part) for phase, part in zip(weights, parts, strict=True) if part
    )


def add_up(lines: Sequence[Line], micro_usd: int) -> tuple[Line, ...]:
    """Return the lines with what is missing to the sum, or without what is too much of the last ones."""
    missing = micro_usd - sum(line.micro_usd for line in lines)
    if missing > 0:
        return (*lines, Line(None, Phase.OTHER.value, LineKind.GPU, missing))
    kept = [*lines]
    while missing < 0:
        last = kept.pop()
        left = last.micro_usd + missing
        if left > 0:
            kept.append(replace(last, micro_usd=left))
        missing = min(0, left)
    return tuple(kept)


def aws_lines(use: AwsUse) -> tuple[Line, ...]:
    """Return what a job costs us at AWS, a line for each term."""
    return tuple(Line(None, term, LineKind.AWS, micro_usd) for term, micro_usd in terms_of(use).items())


def sum_of(lines: Sequence[Line], *kinds: LineKind) -> int:
    """Return the sum of the lines of some kinds."""
    return sum(line.micro_usd for line in lines if line.kind in kinds)


OF_MACHINES = (LineKind.GPU, LineKind.DISK, LineKind.TRAFFIC)
"""What the provider of machines charges."""

PROVIDERS = (*OF_MACHINES, LineKind.TOKENS)
"""What others charge for a job. Its cost is the sum of these, and is what caps and budgets count."""


def describe_cost(uses: Sequence[MachineUse], lines: Sequence[Line]) -> str:
    """Return what a job was charged for, for people, such as "rented 1 x RTX 4090 for 12 min 4 s, $0.1302".

    The one sentence of job documents, receipts and pages.
    """
    parts = [_describe_use(use) for use in uses]
    if len(uses) > _MOST_NAMED:
        cost = sum(line.micro_usd for use in uses for line in use.lines)
        took = sum(use.seconds for use in uses)
        parts = [f"used {len(uses)} machines{_show_for(took)}, {show_usd(cost)}"]
    tokens = sum_of(lines, LineKind.TOKENS)
    if tokens:
        parts.append(f"tokens {show_usd(tokens)}")
    total = sum_of(lines, *PROVIDERS)
    kept = [_describe_kept(each.kept_until, each.kept_micro_usd) for each in uses if each.kept_until]
    if not parts:
        # A server that RUNE did not rent costs money too, which RUNE does not know.
        return f"it cost {show_usd(total)}" if total else "nothing was rented"
    is_whole = len(parts) == 1 and total == tokens + sum(each.micro_usd for use in uses for each in use.lines)
    return "; ".join([*parts, *([] if is_whole else [f"{show_usd(total)} in all"]), *kept])


_MOST_NAMED = 2
"""More machines are told together."""


def _describe_use(use: MachineUse) -> str:
    begun = "used a kept" if use.attempt is None else "rented"
    cost = show_usd(sum(line.micro_usd for line in use.lines))
    return f"{begun} {use.gpu_count} x {use.gpu_name}{_show_for(use.seconds)}, {cost}"


def _describe_kept(until: datetime, micro_usd: int) -> str:
    most = f", for at most {show_usd(micro_usd)} more" if micro_usd else " and goes on costing"
    return f"the machine is kept until {until:%Y-%m-%d %H:%M} UTC{most}"


def _show_for(seconds: int) -> str:
    return f" for {show_duration(seconds)}" if seconds else ""


def charged_lines(
    uses: Sequence[MachineUse], lines: Sequence[Line], charges: Sequence[Charge]
) -> tuple[Line, ...]:
    """Return by how much the provider's charges differ from what was written, as lines.

    Parameters
    ----------
    lines
        The whole receipt. What it has for machines and for none of the uses was not charged.
    """
    differences: list[Line] = []
    for charge in charges:
        own = [line for use in uses if use.attempt == charge.attempt for line in use.lines]
        amounts = {
            LineKind.GPU: charge.gpu_micro_usd,
            LineKind.DISK: charge.disk_micro_usd,
            LineKind.TRAFFIC: charge.traffic_micro_usd,
        }
        differences += [
            Line(charge.attempt, Phase.CHARGED.value, kind, amount - sum_of(own, kind))
            for kind, amount in amounts.items()
        ]
    told = sum_of([line for use in uses for line in use.lines], *OF_MACHINES)
    differences.append(Line(None, Phase.CHARGED.value, LineKind.GPU, told - sum_of(lines, *OF_MACHINES)))
    return tuple(line for line in differences if line.micro_usd)


def show_usd(micro_usd: int) -> str:
    """Return an amount for people: with cents, and of less than a dollar with hundredths of a cent."""
    if 0 < micro_usd < SMALLEST_SHOWN_MICRO_USD:
        return "less than $0.0001"
    if micro_usd >= MICRO_USD_PER_USD or micro_usd == 0:
        cents = (micro_usd + _CENT_MICRO_USD // 2) // _CENT_MICRO_USD
        return f"${cents // 100:,}.{cents % 100:02d}"
    shown = (micro_usd + SMALLEST_SHOWN_MICRO_USD // 2) // SMALLEST_SHOWN_MICRO_USD
    return f"${shown // 10_000}.{shown % 10_000:04d}"


def show_duration(seconds: int) -> str:
    """Return a duration for people, such as "12 min 4 s" or "2 h 5 min"."""
    minutes, rest = divmod(max(0, seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s"
    return f"{hours} h {minutes_left} min"

"""A job's receipt as lines, in whole millionths of a dollar that add up to what the job says that it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    OTHER = "other"
    """Known only in sum: of machines that were borrowed before, or where a bill could not be read."""


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
        Why it ended; None while it is kept.
    lines
        What it cost this job.
    """

    rental_id: str
    attempt: int | None
    gpu_name: str
    gpu_count: int
    micro_usd_per_hour: int
    end_reason: str | None
    lines: tuple[Line, ...]


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


PROVIDERS = (LineKind.GPU, LineKind.DISK, LineKind.TRAFFIC, LineKind.TOKENS)
"""What others charge for a job. Its cost is the sum of these, and is what caps and budgets count."""


def describe_parts(lines: Sequence[Line]) -> str:
    """Return what a job's cost consists of, for people, such as "GPU $0.06, traffic $0.01"; "" for nothing."""
    names = {LineKind.GPU: "GPU"}
    sums = ((kind, sum_of(lines, kind)) for kind in PROVIDERS)
    return ", ".join(f"{names.get(kind, kind.value)} {show_usd(amount)}" for kind, amount in sums if amount)


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

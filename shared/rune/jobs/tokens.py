"""What the tokens that a job buys cost it, kept while a turn runs.

A call's tokens are known when it has ended. Before it begins, the row says what the turn may buy (`announce`).
So a worker that is lost leaves behind a bound, and the job is charged up to it: what was bought, or more.
"""

from __future__ import annotations

from collections.abc import Callable

from rune.errors import CostCapReachedError
from rune.jobs.record import Job


def charged_micro_usd(job: Job) -> int:
    """Return what a job's tokens have cost so far, with all that a lost worker may have bought."""
    return max(job.token_micro_usd or 0, job.token_bound_micro_usd or 0)


def limit_micro_usd(job: Job) -> int | None:
    """Return what a job's tokens may cost in all; None for a job without a cap, as earlier versions stored them."""
    if job.cap_micro_usd is None:
        return None
    left = job.cap_micro_usd - (job.cost_micro_usd - (job.token_micro_usd or 0))
    return left if job.token_cap_micro_usd is None else min(left, job.token_cap_micro_usd)


class TokenAccount:
    """The tokens of one turn. All amounts are in millionths of a dollar, of the whole job.

    Parameters
    ----------
    job
        As the claim left it.
    write
        Writes the bound into the job's row; raises where that is not possible, and then nothing may be bought.

    Attributes
    ----------
    was_refused
        Whether a call was refused since the cap did not leave enough for it.
    """

    def __init__(self, job: Job, write: Callable[[int], None] | None = None) -> None:
        self._write = write
        self._before = charged_micro_usd(job)
        self._limit = limit_micro_usd(job)
        self._bound = self._before
        self._spent = self._before
        self._under_way = 0
        self._has_news = job.token_bound_micro_usd is not None
        self.was_refused = False

    @property
    def spent_micro_usd(self) -> int:
        """What has been bought, calls that are under way left out. It never falls."""
        return self._spent

    @property
    def left_micro_usd(self) -> int | None:
        """What may still be bought; None where there is no limit."""
        return None if self._limit is None else self._limit - self._spent - self._under_way

    @property
    def to_commit_micro_usd(self) -> int | None:
        """What the end of the turn has to write; None where nothing has changed."""
        return self._spent + self._under_way if self._has_news else None

    def announce(self, most_micro_usd: int) -> None:
        """Write that so much more may be bought from now on, in one write for many calls.

        Raises
        ------
        RuneError
            It could not be written.
        """
        bound = self._spent + self._under_way + most_micro_usd
        if self._limit is not None:
            # No call begins beyond it.
            bound = min(bound, max(self._limit, self._spent + self._under_way))
        if bound <= self._bound:
            return
        if self._write is not None:
            self._write(bound)
        self._bound = bound
        self._has_news = True

    def begin(self, most_micro_usd: int) -> None:
        """Take note of a call that begins.

        Parameters
        ----------
        most_micro_usd
            What it can cost at most.

        Raises
        ------
        CostCapReachedError
            The cap does not leave so much.
        RuneError
            It could not be written.
        """
        left = self.left_micro_usd
        if left is not None and most_micro_usd > left:
            self.was_refused = True
            raise CostCapReachedError
        self.announce(most_micro_usd)
        self._under_way += most_micro_usd

    def end(self, most_micro_usd: int, cost_micro_usd: int) -> None:
        """Take note of the end of a call, and of what it cost; where that is not known, the most that it can."""
        self._under_way -= most_micro_usd
        self._spent += cost_micro_usd

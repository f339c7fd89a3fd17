"""One tenant floods the deployment, another posts two jobs: what becomes of each.

`python -m tests.simulation.flood 0 100 400 800` prints a row for each number of flooding jobs. With `silent` before
the numbers, the flooding jobs name a server that says nothing.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
import sys
from collections import Counter
from dataclasses import dataclass

from rune.jobs.plan import Lane
from rune.jobs.record import Job, Status
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller
from tests.simulation.faults import Odds
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import BENCHMARK, CALLER, SILENT, rented_benchmark
from tests.simulation.world import World

FLOODER = Caller("flooder")
POSTS_PER_SECOND = 20
"""What the gateway lets through by default."""

ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class FloodResult:
    """What became of a flood and of its bystander.

    Attributes
    ----------
    plain_job, rented_job
        The bystander's two jobs.
    longest_backlog
        Most messages that waited for a slot, by lane.
    """

    flooder_endings: Counter[str]
    plain_job: Job
    rented_job: Job
    longest_backlog: Counter[Lane]
    sent_count: int
    violations: list[str]

    @property
    def succeeded_count(self) -> int:
        """How many of the flooder's jobs succeeded."""
        return self.flooder_endings[Status.SUCCEEDED]


def run_flood(flooding_count: int, *, hours: float, request: Admitted = BENCHMARK) -> FloodResult:
    """Post that many jobs of one tenant, then two of another; return what became of them after some hours."""
    world = World(0, Odds(answer_seconds=(ANSWER_SECONDS, ANSWER_SECONDS)), vastai=SETTINGS)
    for number in range(flooding_count):
        world.plan(number / POSTS_PER_SECOND, lambda: world.job_service.submit(FLOODER, request))
    bystanders: list[str] = []

    def post(request: Admitted) -> None:
        bystanders.append(world.job_service.submit(CALLER, request).job_id)

    world.plan(flooding_count / POSTS_PER_SECOND + 1, lambda: post(rented_benchmark()))
    world.plan(flooding_count / POSTS_PER_SECOND + 1, lambda: post(BENCHMARK))
    world.run(hours=hours, until_redelivered=False)
    rented, plain = (world.table.jobs[job_id] for job_id in bystanders)
    flooders = [job for job in world.table.jobs.values() if job.tenant == FLOODER.tenant]
    return FloodResult(
        Counter(_ending_of(job) for job in flooders),
        plain,
        rented,
        world.queue.longest_backlog,
        world.queue.sent_count,
        world.violations,
    )


def lasted_seconds(job: Job) -> float | None:
    """Return how long a job took from its submission to its end; None where it has not ended."""
    return None if job.finished_at is None else (job.finished_at - job.created_at).total_seconds()


def _ending_of(job: Job) -> str:
    return job.failure.code if job.failure else job.status


def _describe(job: Job) -> str:
    lasted = lasted_seconds(job)
    took = "not ended" if lasted is None else f"{lasted:,.0f} s"
    return f"{_ending_of(job)}, {took}, ${job.cost_micro_usd / 1e6:.4f}"


def main() -> None:
    """Print a row for each number on the command line."""
    logging.disable(logging.CRITICAL)
    print("| flooder's jobs | how they ended | plain job | rented job | longest backlog | messages |")
    print("|---|---|---|---|---|---|")
    arguments = sys.argv[1:]
    is_silent = "silent" in arguments
    for count in (int(argument) for argument in arguments if argument != "silent"):
        result = run_flood(count, hours=24.0, request=SILENT if is_silent else BENCHMARK)
        endings = (
            ", ".join(f"{name} {number}" for name, number in result.flooder_endings.most_common()) or "-"
        )
        backlog = ", ".join(f"{lane} {most}" for lane, most in result.longest_backlog.items())
        plain, rented = _describe(result.plain_job), _describe(result.rented_job)
        print(f"| {count} | {endings} | {plain} | {rented} | {backlog} | {result.sent_count} |")


if __name__ == "__main__":
    main()

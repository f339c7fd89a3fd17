"""One tenant floods the API with requests, another posts one job and looks at it: what each is answered, and when.

`python -m tests.simulation.request_flood` prints a row for the gateway and the processes of the API as the template
has them, and one for each of them as they were: 20 requests/s for all callers, and no limit of a tenant's own.
`… 2000 100` takes so many jobs and requests a second instead of 10,000 and 200.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rune.errors import RequestError, StoreUnavailableError
from rune.services.jobs import Caller
from rune.tenants.rates import RateLimits, RequestClass, TenantRates
from rune.tenants.settings import TenantSettings
from tests.simulation.faults import Odds
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import BENCHMARK, CALLER
from tests.simulation.timing import SkewedClock
from tests.simulation.world import World

FLOODER = Caller("flooder")
ANSWER_SECONDS = 60.0
SERVICE_SECONDS = 0.015
"""Of one request in the API's function."""

POLL_SECONDS = 2.0
"""As clients in the field look."""

LONGEST_MINUTES = 15
"""After which the bystander has given up."""

POSTED_AT_SECONDS = 20.0
"""When the bystander posts, in the middle of the flood."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What stands before the jobs: the gateway's throttle, and a tenant's own limits (None: there are none)."""

    name: str
    rate_per_second: float
    burst: int
    limits: RateLimits | None


NOW = Edge("as it is", 250, 500, RateLimits(polls_per_second=50, submits_per_second=20))
BEFORE = Edge("as it was", 20, 200, None)


@dataclass(slots=True)
class FloodOfRequests:
    """What became of a flood.

    Attributes
    ----------
    answers
        By tenant: how often each code.
    waited_seconds
        Of the bystander: from its first try to post until its job was stored, begun, and seen to have ended.
    """

    answers: dict[str, Counter[str]] = field(default_factory=dict)
    stored_seconds: float | None = None
    begun_seconds: float | None = None
    seen_seconds: float | None = None
    told_count: int = 0


class _Counter:
    """What the processes tell each other."""

    def __init__(self) -> None:
        self.counts = Counter[tuple[str, RequestClass, int]]()
        self.calls = 0

    def add(self, tenant: str, what: RequestClass, window: int, count: int) -> int | None:
        self.calls += 1
        self.counts[tenant, what, window] += count
        return self.counts[tenant, what, window]


class _Api:
    """The gateway, and as many processes as have something to do at the same time."""

    def __init__(self, world: World, edge: Edge) -> None:
        self._world = world
        self._edge = edge
        self._tokens, self._filled_at = float(edge.burst), world.now
        self._counter = _Counter()
        self._processes: list[tuple[TenantRates | None, list[float]]] = []
        self.result = FloodOfRequests()

    @property
    def told_count(self) -> int:
        return self._counter.calls

    def ask(self, tenant: str, method: str, act: Callable[[], str]) -> str:
        """Return the code of the answer: the gateway's, the limit's, or what the act says."""
        answer = self._answer(tenant, method, act)
        self.result.answers.setdefault(tenant, Counter())[answer] += 1
        return answer

    def _answer(self, tenant: str, method: str, act: Callable[[], str]) -> str:
        now = self._world.now
        passed = (now - self._filled_at).total_seconds()
        self._tokens = min(self._edge.burst, self._tokens + passed * self._edge.rate_per_second)
        self._filled_at = now
        if self._tokens < 1:
            return "429 of the gateway"
        self._tokens -= 1
        rates = self._take_process()
        try:
            if rates is not None:
                rates.take(tenant, TenantSettings(), method)
            return act()
        except RequestError as error:
            return error.code
        except StoreUnavailableError:
            return "store_unavailable"

    def _take_process(self) -> TenantRates | None:
        at = self._world.seconds_since_start(self._world.now)
        for rates, busy_until in self._processes:
            if busy_until[0] <= at:
                busy_until[0] = at + SERVICE_SECONDS
                return rates
        clock = SkewedClock(self._world)
        rates = TenantRates(self._edge.limits, lambda: self._counter, clock) if self._edge.limits else None
        self._processes.append((rates, [at + SERVICE_SECONDS]))
        return rates


def run_flood(edge: Edge, job_count: int, requests_per_second: float) -> FloodOfRequests:
    """Let one tenant post so many jobs, then look at them as often; let another one post a job and look at it."""
    world = World(0, Odds(answer_seconds=(ANSWER_SECONDS, ANSWER_SECONDS)), vastai=SETTINGS)
    api = _Api(world, edge)

    def flood(number: int) -> None:
        if number < job_count:
            api.ask(FLOODER.tenant, "POST", lambda: _post(world, FLOODER))
        else:
            api.ask(FLOODER.tenant, "GET", lambda: "200")
        world.at(1 / requests_per_second, lambda: flood(number + 1))

    flood(0)
    world.at(POSTED_AT_SECONDS, lambda: _stand_by(world, api))
    end = world.now + timedelta(minutes=LONGEST_MINUTES)
    while api.result.seen_seconds is None and world.now < end:
        world.let_pass(1.0)
    api.result.told_count = api.told_count
    return api.result


def _post(world: World, caller: Caller) -> str:
    world.job_service.submit(caller, BENCHMARK)
    return "202"


def _stand_by(world: World, api: _Api) -> None:
    """Post a job, each second until it is stored, and look at it every two seconds until it has ended."""
    result = api.result

    def since_posted(instant: datetime) -> float:
        return world.seconds_since_start(instant) - POSTED_AT_SECONDS

    def post() -> None:
        if api.ask(CALLER.tenant, "POST", lambda: _post(world, CALLER)) != "202":
            world.at(1.0, post)
            return
        result.stored_seconds = since_posted(world.now)
        (job,) = [each for each in world.table.jobs.values() if each.tenant == CALLER.tenant]
        world.at(POLL_SECONDS, lambda: look(job.job_id))

    def look(job_id: str) -> None:
        answer = api.ask(CALLER.tenant, "GET", lambda: "200")
        job = world.table.jobs[job_id]
        if answer != "200" or job.is_active:
            world.at(POLL_SECONDS, lambda: look(job_id))
            return
        result.begun_seconds = since_posted(job.started_at or world.now)
        result.seen_seconds = since_posted(world.now)

    post()


def _listed(answers: Counter[str]) -> str:
    return ", ".join(f"{code} {count:,}" for code, count in answers.most_common())


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:,.1f} s"


def main() -> None:
    """Print a row for each edge."""
    logging.disable(logging.CRITICAL)
    job_count, rate = (int(sys.argv[1]), float(sys.argv[2])) if len(sys.argv) > 2 else (10_000, 200.0)
    columns = ("edge", "flooder's answers", "bystander's answers", "stored", "begun", "seen to end", "writes")
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|")
    for edge in (NOW, BEFORE):
        found = run_flood(edge, job_count, rate)
        flooder, bystander = (_listed(found.answers[each.tenant]) for each in (FLOODER, CALLER))
        waited = " | ".join(map(_seconds, (found.stored_seconds, found.begun_seconds, found.seen_seconds)))
        print(f"| {edge.name} | {flooder} | {bystander} | {waited} | {found.told_count} |", flush=True)


if __name__ == "__main__":
    main()

"""What jobs cost at AWS: their real calls over moto, priced by `costs`. Lambda's time is not in it.

Time is moved and not waited for. Callers who look at their jobs, ticks and idle polls of the queues are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from local.simulators.ollama import SimulatedOllama, create_app
from local.simulators.serving import running_server
from tests.bench.aws_calls import INSTANT, ONE_TURN_MS
from tests.bench.cost_world import World, simulated_world
from tests.bench.costs import Usage

LOOKS = 16
"""With check, warm-up, the measurement and its end, a job of twenty turns."""

STEP_SECONDS = 60
POINTS = 12
"""The most that a workload may have."""

MANY = 1_000
WAITING_COUNTS = (10, 1_000, 100_000)
TENANT_COUNTS = (1, 100)


@dataclass(frozen=True, slots=True)
class Cost:
    """What an act used.

    Attributes
    ----------
    waiting, tenants
        How many jobs of how many tenants waited meanwhile.
    """

    act: str
    usage: Usage
    waiting: int = 0
    tenants: int = 0


def measure_engine_costs(waiting_counts: Sequence[int] = WAITING_COUNTS) -> list[Cost]:
    """Return what jobs cost, alone and while others wait."""
    with (
        running_server(create_app(SimulatedOllama(INSTANT))) as model_server,
        simulated_world(model_server) as world,
    ):
        costs = _cost_jobs(world)
        for waiting in waiting_counts:
            for tenants in TENANT_COUNTS:
                costs += _cost_beside_waiting(world, waiting, tenants)
    return costs


def _cost_jobs(world: World) -> list[Cost]:
    posted = world.metered(world.post)
    one_turn = world.metered(lambda: world.take(world.sent.popleft(), ONE_TURN_MS))
    world.empty()
    three = world.run_job()
    looks = world.run_job(looks=LOOKS)
    points = {"concurrency": [*range(1, POINTS + 1)], "warmup_requests": 0}
    sweep = world.run_job(request={"workload": {**points, "prompts": ["What is unhealthy?"]}})
    quiet = world.run_job(step_seconds=STEP_SECONDS)
    shown = world.run_job(step_seconds=STEP_SECONDS, shows_progress=True)
    return [
        Cost("POST of a job that begins", posted),
        Cost("one turn with its message", one_turn),
        Cost("job of three steps", three),
        Cost("a look that finds nothing", (looks - three).divided(LOOKS)),
        Cost("job of twenty turns", looks),
        Cost(f"{MANY:,} jobs of twenty turns", looks.times(MANY)),
        Cost(f"job of a workload with {POINTS} points", sweep),
        Cost(f"keeping a step of {STEP_SECONDS} s", quiet - three),
        Cost("the same, while it shows progress", shown - three),
    ]


def _cost_beside_waiting(world: World, waiting: int, tenants: int) -> list[Cost]:
    world.empty()
    first_id, _ = world.post(), [world.post() for _ in range(world.slot_count - 1)]
    world.put_waiting(waiting, tenants)
    posted = world.metered(world.post)
    one_turn = world.metered(lambda: world.take(world.sent.popleft(), ONE_TURN_MS))
    ended = world.metered(lambda: world.finish(first_id))
    tick = world.metered(world.tick)
    acts = [
        ("POST of a job that waits", posted),
        ("one turn with its message", one_turn),
        ("the job's other turns, and the next job's admission", ended),
        ("tick with nothing late", tick),
    ]
    return [Cost(act, usage, waiting, tenants) for act, usage in acts]

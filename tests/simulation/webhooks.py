"""What becomes of events whose receivers fail, hang, redirect, rebind, are slow, are gone or ask to wait.

`python -m tests.simulation.webhooks` prints each attempt of three simulated days.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from rune.webhooks.answers import AttemptError
from rune.webhooks.record import Attempt
from tests.builders import NOW
from tests.simulation.webhook_world import Receiver, Reply, World
from tests.webhook_builders import a_public_event

DAYS = timedelta(days=3, hours=8)
"""Three days of tries, and their jitter."""

_HOUR = timedelta(hours=1)

RECEIVERS: Mapping[str, Receiver] = {
    "well": lambda _since, _number: Reply(0.1),
    "fails-for-an-hour": lambda since, _number: Reply(0.1, 500 if since < _HOUR else 204),
    "fails": lambda _since, _number: Reply(0.1, 500),
    "hangs": lambda _since, _number: Reply(15.0, error=AttemptError.TIMEOUT),
    "redirects": lambda _since, _number: Reply(0.1, 302),
    "rebinds-to-loopback": lambda _since, _number: Reply(0.01, error=AttemptError.ADDRESS_REFUSED),
    "slow": lambda _since, _number: Reply(9.5),
    "gone": lambda _since, number: Reply(0.1, 200 if number == 1 else 410),
    "asks-to-wait": lambda since, _number: (
        Reply(0.1) if since > 2 * _HOUR else Reply(0.1, 429, retry_after_seconds=1800)
    ),
    "down-for-a-day": lambda since, _number: (
        Reply(0.1) if since > 24 * _HOUR else Reply(5.0, error=AttemptError.UNREACHABLE)
    ),
}


def run_three_days() -> World:
    """Return the world in which each receiver was sent two events, a second apart."""
    world = World(RECEIVERS)
    world.publish_at(NOW, a_public_event(1))
    world.publish_at(NOW + timedelta(seconds=1), a_public_event(2, "rune.job.running"))
    world.run_until(NOW + DAYS)
    return world


def describe(world: World, name: str) -> list[str]:
    """Return a receiver's row of the table for each delivery."""
    return [
        f"{each.event_type.removeprefix('rune.job.'):9} {each.state:10} "
        + ", ".join(describe_attempt(attempt) for attempt in each.attempts)
        for each in world.deliveries(name)
    ]


def describe_attempt(attempt: Attempt) -> str:
    """Return when it was, and what came of it."""
    outcome = str(attempt.status) if attempt.status is not None else attempt.error
    return f"{_since(attempt)} {outcome}"


def _since(attempt: Attempt) -> str:
    seconds = round((attempt.at - NOW).total_seconds())
    hours, rest = divmod(seconds, 3600)
    return f"+{hours}:{rest // 60:02}:{rest % 60:02}"


def main() -> None:
    """Print the table."""
    world = run_three_days()
    for name in RECEIVERS:
        endpoint = world.endpoint(name)
        print(f"{name}: {endpoint.status}, {len(world.posts[name])} posts")
        for row in describe(world, name):
            print(f"  {row}")


if __name__ == "__main__":
    main()

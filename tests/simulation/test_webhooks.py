"""Webhooks over days, and with everything that can go wrong between two lines."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from rune.events.record import Subject, SubjectKind
from rune.webhooks.answers import AttemptError
from rune.webhooks.record import DeliveryState, EndpointStatus
from rune.webhooks.schedule import DELAYS
from tests.builders import NOW, after
from tests.simulation.faults import Crash
from tests.simulation.webhook_world import Receiver, Reply, World, run, some_events
from tests.simulation.webhooks import RECEIVERS, describe, run_three_days
from tests.webhook_builders import a_public_event

KEY = "default/wh_it"
EVENTS = 4


def well(_since: timedelta, _number: int) -> Reply:
    return Reply(0.1)


def dead(_since: timedelta, _number: int) -> Reply:
    return Reply(15.0, error=AttemptError.TIMEOUT)


def unsteady(_since: timedelta, number: int) -> Reply:
    """Fail every second time, in another way each time."""
    failures = [
        Reply(0.1, 500),
        Reply(15, error=AttemptError.TIMEOUT),
        Reply(0.1, 503, retry_after_seconds=7),
    ]
    return Reply(0.1) if number % 2 == 0 else failures[number // 2 % 3]


# ---------------------------------------------------------------- three days


@pytest.fixture(scope="module")
def three_days() -> World:
    return run_three_days()


def test_single_delivery_keeps_the_schedule_of_three_days() -> None:
    world = World({"it": lambda _since, _number: Reply(0.1, 500)})
    world.publish_at(NOW, a_public_event())

    world.run_until(after(80 * 3600))

    (delivery,) = world.deliveries("it")
    waits = [late.at - early.at for early, late in pairwise(delivery.attempts)]
    assert len(delivery.attempts) == len(DELAYS) == 10
    for wait, delay in zip(waits, DELAYS[1:], strict=True):
        assert delay <= wait <= delay + timedelta(seconds=62), "the tick comes once a minute"
    assert delivery.state is DeliveryState.FAILED


def test_table_of_attempts_is_as_printed(three_days: World) -> None:
    posts = {name: len(three_days.posts[name]) for name in RECEIVERS}
    states = {name: [row.split()[1] for row in describe(three_days, name)] for name in RECEIVERS}

    assert posts == {
        "well": 2,
        "fails-for-an-hour": 10,
        "fails": 20,
        "hangs": 20,
        "redirects": 20,
        "rebinds-to-loopback": 20,
        "slow": 2,
        "gone": 2,
        "asks-to-wait": 6,
        "down-for-a-day": 16,
    }
    assert {name for name, of in states.items() if of == ["succeeded"] * 2} == {
        "well",
        "fails-for-an-hour",
        "slow",
        "asks-to-wait",
        "down-for-a-day",
    }
    assert states["gone"] == ["succeeded", "failed"]
    assert three_days.endpoint("gone").status is EndpointStatus.DISABLED
    assert describe(three_days, "asks-to-wait")[0] == (
        "accepted  succeeded  +0:00:00 429, +1:02:00 429, +2:04:00 200"
    )


def test_no_receiver_is_asked_sooner_than_it_wanted(three_days: World) -> None:
    moments = [post.at for post in three_days.posts["asks-to-wait"]]

    assert all(late - early >= timedelta(minutes=30) for early, late in pairwise(moments[:4]))


def test_nothing_is_due_once_everything_is_over(three_days: World) -> None:
    for name in RECEIVERS:
        endpoint = three_days.endpoint(name)
        assert (endpoint.due_at, endpoint.lease_until, endpoint.open_count) == (None, None, 0), name


def test_dead_receivers_delay_no_other(three_days: World) -> None:
    assert [post.at for post in three_days.posts["well"]] == [NOW, after(1)]
    assert [post.at for post in three_days.posts["slow"]] == [NOW, after(9.5)]


def test_receiver_that_only_fails_is_disabled_after_five_days_and_others_are_told() -> None:
    world = World({"it": dead, "other": well})
    for hour in range(0, 24 * 7, 6):
        world.publish_at(after(hour * 3600), a_public_event(1 + hour))

    world.run_until(after(24 * 7 * 3600))

    endpoint = world.endpoint("it")
    assert endpoint.status is EndpointStatus.DISABLED
    assert endpoint.disabled_reason is not None
    assert endpoint.disabled_reason.value == "failures"
    assert endpoint.disabled_at is not None
    assert timedelta(days=5) <= endpoint.disabled_at - NOW < timedelta(days=5, hours=7)
    (told,) = world.store.outbox.read_log(Subject(SubjectKind.WEBHOOK, "wh_it"), 0, 10)
    assert (told.event_type, told.sequence) == ("rune.webhook.disabled", 1)
    assert told.data["reason"] == "failures"
    assert len(world.posts["other"]) == 28


def test_dead_receiver_with_many_events_is_asked_four_times_an_hour() -> None:
    world = World({"it": dead})
    world.publish_at(NOW, *some_events(100))

    world.run_until(after(24 * 3600))

    assert 80 <= len(world.posts["it"]) <= 24 * 4 + 5


def test_what_a_dead_receiver_could_not_be_sent_comes_in_order_once_it_is_well() -> None:
    world = World({"it": lambda since, _number: dead(since, 0) if since < timedelta(hours=3) else Reply(0.1)})
    world.publish_at(NOW, *some_events(60))

    world.run_until(after(4 * 3600))

    succeeded = [each for each in world.deliveries("it") if each.state is DeliveryState.SUCCEEDED]
    never_tried = [each for each in world.deliveries("it") if len(each.attempts) == 1]
    moments = [each.attempts[0].at for each in never_tried]
    assert len(never_tried) > 40
    assert set(never_tried) <= set(succeeded)
    assert moments == sorted(moments)


def test_events_of_a_well_receiver_come_in_order() -> None:
    world = World({"it": lambda _since, _number: Reply(1.5)})
    for second in range(60):
        world.publish_at(after(second), a_public_event(second + 1))

    world.run_until(after(300))

    ids = [post.webhook_id for post in world.posts["it"]]
    assert ids == [each.event_id for each in world.deliveries("it")]
    assert len(ids) == 60


def test_lost_notices_cost_two_minutes_and_no_event() -> None:
    world = World({"it": unsteady}, loses_notices=lambda: True)
    world.notices.loses = lambda: True
    # Only the tick's own notices arrive.
    tick_notices = world.late.notices
    assert tick_notices is world.notices
    for second in range(0, 600, 100):
        world.publish_at(after(second), a_public_event(second + 1))

    world.run_until(after(600))
    assert world.posts["it"] == []
    world.notices.loses = lambda: False
    world.run_until(after(4 * 3600))

    assert {each.state for each in world.deliveries("it")} == {DeliveryState.SUCCEEDED}


# ---------------------------------------------------------------- cut points


def a_world(receiver: Receiver = unsteady) -> World:
    world = World({"it": receiver})
    world.publish_at(NOW, *some_events(EVENTS))
    return world


def count_cuts() -> int:
    world, seen = a_world(), Counter[str]()
    world.store.cut = lambda name: seen.update([name])
    world.run_until(after(4 * 3600))
    return seen.total()


CUTS = count_cuts()


def assert_nothing_is_lost(world: World) -> None:
    deliveries = world.deliveries("it")
    endpoint = world.endpoint("it")
    bodies: dict[str, set[bytes]] = {}
    for post in world.posts["it"]:
        bodies.setdefault(post.webhook_id, set()).add(post.body)
    assert [each.state for each in deliveries] == [DeliveryState.SUCCEEDED] * EVENTS
    assert set(bodies) == {each.event_id for each in deliveries}, "each came, under its own id"
    assert all(len(sent) == 1 for sent in bodies.values()), "byte for byte the same each time"
    assert (endpoint.open_count, endpoint.due_at, endpoint.lease_until) == (0, None, None)
    assert endpoint.tried_position == endpoint.last_position == EVENTS


def undisturbed_posts() -> int:
    world = a_world()
    world.run_until(after(4 * 3600))
    return len(world.posts["it"])


POSTS = undisturbed_posts()


@pytest.mark.parametrize("at", range(CUTS))
def test_worker_that_dies_loses_nothing(at: int) -> None:
    world, passed = a_world(), Counter[str]()

    def cut(name: str) -> None:
        passed.update([name])
        if passed.total() == at + 1:
            raise Crash(name)

    world.store.cut = cut

    world.run_until(after(5 * 3600))

    assert_nothing_is_lost(world)


@pytest.mark.parametrize("at", range(CUTS))
def test_worker_that_is_frozen_and_overtaken_writes_nothing_over(at: int) -> None:
    world, passed = a_world(), Counter[str]()

    def cut(name: str) -> None:
        passed.update([name])
        if passed.total() == at + 1:
            world.clock.advance(200)
            run(world.delivery.deliver(KEY, lambda: True))

    world.store.cut = cut

    world.run_until(after(5 * 3600))

    assert_nothing_is_lost(world)


@pytest.mark.parametrize("at", range(CUTS))
def test_second_worker_at_the_same_time_sends_nothing(at: int) -> None:
    world, passed = a_world(), Counter[str]()

    def cut(name: str) -> None:
        passed.update([name])
        if passed.total() == at + 1:
            run(world.delivery.deliver(KEY, lambda: True))

    world.store.cut = cut

    world.run_until(after(5 * 3600))

    assert_nothing_is_lost(world)
    assert len(world.posts["it"]) <= POSTS + 2, "what fails first, fails in another order"


@pytest.mark.parametrize("at", range(CUTS))
def test_event_that_comes_while_a_worker_is_at_work_is_found_without_its_notice(at: int) -> None:
    world, passed = a_world(), Counter[str]()
    late = a_public_event(99)

    def cut(name: str) -> None:
        passed.update([name])
        if passed.total() == at + 1:
            world.notices.loses = lambda: True
            world.sink.publish([late])
            world.notices.loses = lambda: False

    world.store.cut = cut

    world.run_until(after(5 * 3600))

    assert late.event_id in {post.webhook_id for post in world.posts["it"]}
    assert world.endpoint("it").open_count == 0


def test_index_that_lags_loses_nothing() -> None:
    world = a_world()
    world.store.index_lag = timedelta(seconds=90)

    world.run_until(after(5 * 3600))

    assert_nothing_is_lost(world)


def test_event_that_is_published_again_comes_once() -> None:
    world = World({"it": well})
    for second in (0, 0.05, 30, 3600):
        world.publish_at(after(second), *some_events(EVENTS))

    world.run_until(after(2 * 3600))

    assert_nothing_is_lost(world)
    assert len(world.posts["it"]) == EVENTS

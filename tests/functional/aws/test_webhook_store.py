"""Webhooks in DynamoDB, and in memory where both must do the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from rune.aws.webhook_store import DynamoWebhookStore
from rune.contracts.events import PingData
from rune.errors import StoreUnavailableError
from rune.events.catalog import make_event
from rune.events.outbox import Outbox
from rune.storage.change import Is, IsBelow, make_change
from rune.webhooks import attempts, lifecycle
from rune.webhooks.answers import Answer, AttemptError
from rune.webhooks.record import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointStatus,
    Secret,
    TenantWebhooks,
)
from rune.webhooks.store import EndpointRefused, WebhookStore
from tests.builders import NOW, TENANT, after
from tests.memory_outbox import MemoryOutbox
from tests.memory_webhook_store import MemoryWebhookStore
from tests.webhook_builders import a_delivery, an_endpoint

if TYPE_CHECKING:
    from tests.cloud import Cloud

ONE_MORE = make_change(
    "add", NOW, requires=(IsBelow("endpoint_count", 2),), sets={}, adds={"endpoint_count": 1}
)


@pytest.fixture(params=["dynamodb", "memory"])
def stores(request: pytest.FixtureRequest) -> tuple[WebhookStore, Outbox]:
    if request.param == "memory":
        outbox = MemoryOutbox()
        return MemoryWebhookStore(outbox), outbox
    from rune.aws.outbox import DynamoOutbox  # noqa: PLC0415  # boto3 takes its time

    cloud: Cloud = request.getfixturevalue("cloud")
    return DynamoWebhookStore(cloud.dynamodb, "rune-test"), DynamoOutbox(cloud.dynamodb, "rune-test")


@pytest.fixture
def store(stores: tuple[WebhookStore, Outbox]) -> WebhookStore:
    return stores[0]


def put(store: WebhookStore, endpoint: Endpoint | None = None) -> Endpoint:
    endpoint = endpoint or an_endpoint()
    assert store.create(endpoint, ONE_MORE)
    return endpoint


def add(store: WebhookStore, endpoint: Endpoint, *event_ids: str) -> Endpoint:
    deliveries = [
        a_delivery(position=endpoint.last_position + number, event_id=event_id)
        for number, event_id in enumerate(event_ids, start=1)
    ]
    written = store.enqueue(endpoint, lifecycle.enqueue(endpoint, len(deliveries), NOW), deliveries)
    assert isinstance(written, Endpoint)
    found = store.read(TENANT, endpoint.endpoint_id)
    assert found is not None
    return found


def claim(store: WebhookStore, endpoint: Endpoint) -> Endpoint:
    claimed = store.update(endpoint, lifecycle.claim(NOW))
    assert isinstance(claimed, Endpoint)
    return claimed


def conclude(store: WebhookStore, endpoint: Endpoint, delivery: Delivery, answer: Answer) -> Endpoint:
    consequence = attempts.conclude(endpoint, delivery, answer, NOW, 0)
    written = store.conclude(endpoint, consequence.endpoint, delivery, consequence.delivery)
    assert isinstance(written, Endpoint)
    return written


def test_endpoint_is_read_as_it_was_written(store: WebhookStore) -> None:
    endpoint = an_endpoint(
        description="CI",
        events=("rune.job.*", "rune.rental.gone"),
        secrets=(Secret(2, 1), Secret(1, 1, after(60))),
    )
    put(store, endpoint)

    assert store.read(TENANT, endpoint.endpoint_id) == endpoint
    assert store.read_all(TENANT) == (endpoint,)
    assert store.read("acme", endpoint.endpoint_id) is None
    assert store.read_all("acme") == ()


def test_no_more_endpoints_are_made_than_are_allowed(store: WebhookStore) -> None:
    made = [store.create(an_endpoint(endpoint_id=f"wh_{number}"), ONE_MORE) for number in range(3)]

    assert made == [True, True, False]
    assert store.read_tenant(TENANT, NOW) == TenantWebhooks(NOW, version=2, endpoint_count=2)
    assert len(store.read_all(TENANT)) == 2


def test_removed_endpoint_is_listed_no_more_and_counts_no_more(store: WebhookStore) -> None:
    endpoint = put(store)
    one_less = make_change("less", NOW, requires=(), sets={}, adds={"endpoint_count": -1})

    assert store.remove(endpoint, lifecycle.remove(endpoint, NOW, after(60)), one_less)
    assert not store.remove(endpoint, lifecycle.remove(endpoint, NOW, after(60)), one_less)

    assert store.read_all(TENANT) == ()
    assert store.read_tenant(TENANT, NOW).endpoint_count == 0
    found = store.read(TENANT, endpoint.endpoint_id)
    assert found is not None
    assert found.status is EndpointStatus.REMOVED


def test_callback_is_made_once_and_not_listed(store: WebhookStore) -> None:
    callback = an_endpoint(endpoint_id="cb_1", secrets=())

    assert store.create_callback(callback) == callback
    assert store.create_callback(an_endpoint(endpoint_id="cb_1", url="https://other.example/")) == callback
    assert store.read(TENANT, "cb_1") == callback
    assert store.read_all(TENANT) == ()


def test_secret_of_callbacks_is_kept_with_the_tenant(store: WebhookStore) -> None:
    secrets = (Secret(2, 1), Secret(1, 1, after(60)))
    change = make_change("rotate", NOW, requires=(Is("version", 0),), sets={"callback_secrets": secrets})
    first = make_change("rotate", NOW, requires=(IsBelow("version", 1),), sets={"callback_secrets": secrets})

    assert store.update_tenant(TENANT, first)
    assert not store.update_tenant(TENANT, change)
    assert store.read_tenant(TENANT, after(5)).callback_secrets == secrets


def test_deliveries_are_read_in_order(store: WebhookStore) -> None:
    endpoint = add(store, add(store, put(store), "evt_a", "evt_b"), "evt_c")

    assert [each.event_id for each in store.read_from(endpoint, 1)] == ["evt_a", "evt_b", "evt_c"]
    assert [each.event_id for each in store.read_from(endpoint, 2, 1)] == ["evt_b"]
    assert store.read_from(endpoint, 1, 1) == (a_delivery(event_id="evt_a"),)
    assert (endpoint.last_position, endpoint.due_at) == (3, NOW + lifecycle.POSTPONED)


def test_endpoint_gets_each_event_once(store: WebhookStore) -> None:
    endpoint = add(store, put(store), "evt_a")
    again = [a_delivery(position=2, event_id="evt_b"), a_delivery(position=3, event_id="evt_a")]

    refused = store.enqueue(endpoint, lifecycle.enqueue(endpoint, 2, NOW), again)

    assert refused == frozenset({"evt_a"})
    assert len(store.read_from(endpoint, 1)) == 1


@pytest.mark.parametrize("change", [{"status": "disabled"}, {"due_at": after(5)}, {"last_position": 7}])
def test_nothing_is_added_to_an_endpoint_that_has_changed(
    change: dict[str, object], store: WebhookStore
) -> None:
    stale = put(store)
    store.update(stale, make_change("other", NOW, requires=(), sets=change))  # type: ignore[arg-type]  # as given

    refused = store.enqueue(stale, lifecycle.enqueue(stale, 1, NOW), [a_delivery()])

    assert isinstance(refused, EndpointRefused)
    assert refused.found == store.read(TENANT, stale.endpoint_id)
    assert store.read_from(stale, 1) == ()


def test_one_worker_has_an_endpoint_until_its_lease_is_over(store: WebhookStore) -> None:
    endpoint = claim(store, add(store, put(store), "evt_a"))

    refused = store.update(endpoint, lifecycle.claim(after(89)))
    taken_over = store.update(endpoint, lifecycle.claim(NOW + lifecycle.LEASE))

    assert refused == EndpointRefused(endpoint)
    assert isinstance(taken_over, Endpoint)
    assert taken_over.epoch == endpoint.epoch + 1


def test_endpoint_that_is_left_alone_is_claimed_by_nobody(store: WebhookStore) -> None:
    endpoint = put(store, an_endpoint(not_before=after(60)))

    assert isinstance(store.update(endpoint, lifecycle.claim(after(59))), EndpointRefused)
    assert isinstance(store.update(endpoint, lifecycle.claim(after(60))), Endpoint)


def test_attempts_are_logged_with_the_delivery(store: WebhookStore) -> None:
    endpoint = claim(store, add(store, put(store), "evt_a"))
    (delivery,) = store.read_from(endpoint, 1)

    endpoint = conclude(store, endpoint, delivery, Answer(NOW, 42, status=500, response="oops"))
    (delivery,) = store.read_from(endpoint, 1)
    conclude(store, endpoint, delivery, Answer(after(5), 9, error=AttemptError.TIMEOUT))

    (delivery,) = store.read_from(endpoint, 1)
    assert delivery.attempts == (
        Attempt(1, NOW, 42, 500, "status"),
        Attempt(2, after(5), 9, None, "timeout"),
    )
    assert (delivery.state, delivery.tries, delivery.response) == (DeliveryState.RETRYING, 2, None)
    assert delivery.due_at == after(300)
    found = store.read(TENANT, endpoint.endpoint_id)
    assert found is not None
    assert (found.retrying_count, found.tried_position, found.failures_in_row) == (1, 1, 2)


def test_retries_are_found_earliest_first_until_they_are_over(store: WebhookStore) -> None:
    endpoint = claim(store, add(store, put(store), "evt_a", "evt_b", "evt_c"))
    first, second, third = store.read_from(endpoint, 1)
    slow = Answer(NOW, 1, status=429, retry_after=timedelta(seconds=600))
    endpoint = conclude(store, endpoint, first, slow)
    endpoint = conclude(store, endpoint, second, Answer(NOW, 1, status=500))
    endpoint = conclude(store, endpoint, third, Answer(NOW, 1, status=200))

    found = store.read_retries(endpoint)
    assert [each.event_id for each in found] == ["evt_b", "evt_a"]
    assert [each.event_id for each in store.read_retries(endpoint, 1)] == ["evt_b"]

    conclude(store, endpoint, found[0], Answer(after(5), 1, status=200))
    assert [each.event_id for each in store.read_retries(endpoint)] == ["evt_a"]
    assert store.read_retries(an_endpoint(endpoint_id="wh_other")) == ()


@pytest.mark.parametrize("stale", ["endpoint", "delivery"])
def test_result_of_a_worker_that_was_overtaken_is_refused(stale: str, store: WebhookStore) -> None:
    endpoint = claim(store, add(store, put(store), "evt_a"))
    (delivery,) = store.read_from(endpoint, 1)
    if stale == "endpoint":
        late = an_endpoint(endpoint_id=endpoint.endpoint_id)
        store.update(late, make_change("claim", NOW, requires=(), sets={}, adds={"epoch": 1}))
    else:
        conclude(store, endpoint, delivery, Answer(NOW, 1, status=500))
    before = store.read(TENANT, endpoint.endpoint_id), store.read_from(endpoint, 1)

    consequence = attempts.conclude(endpoint, delivery, Answer(NOW, 1, status=200), NOW, 0)
    refused = store.conclude(endpoint, consequence.endpoint, delivery, consequence.delivery)

    assert isinstance(refused, EndpointRefused)
    assert (store.read(TENANT, endpoint.endpoint_id), store.read_from(endpoint, 1)) == before


def test_event_about_the_endpoint_is_written_with_the_result(stores: tuple[WebhookStore, Outbox]) -> None:
    store, outbox = stores
    endpoint = claim(store, add(store, put(store), "evt_a"))
    (delivery,) = store.read_from(endpoint, 1)
    consequence = attempts.conclude(endpoint, delivery, Answer(NOW, 1, status=410), NOW, 0)
    event = make_event(
        "rune.ping",
        PingData(webhook_id=endpoint.endpoint_id),
        tenant=TENANT,
        subject_id=endpoint.endpoint_id,
        sequence=1,
        occurred_at=NOW,
    )

    store.conclude(endpoint, consequence.endpoint, delivery, consequence.delivery, [event])

    assert outbox.read_log(event.subject, 0, 10) == (event,)
    found = store.read(TENANT, endpoint.endpoint_id)
    assert found is not None
    assert (found.status, found.due_at, found.event_count) == (EndpointStatus.DISABLED, None, 1)


def test_delivery_is_found_by_its_event(store: WebhookStore) -> None:
    endpoint = add(store, put(store), "evt_a", "evt_b")

    assert store.find_delivery(endpoint, "evt_b") == a_delivery(position=2, event_id="evt_b")
    assert store.find_delivery(endpoint, "evt_c") is None


def test_pages_of_deliveries_are_newest_first(store: WebhookStore) -> None:
    endpoint = add(store, put(store), "evt_a", "evt_b", "evt_c")

    first = store.list_deliveries(endpoint, None, 2)
    second = store.list_deliveries(endpoint, first.position, 2)

    assert [each.event_id for each in first.deliveries] == ["evt_c", "evt_b"]
    assert ([each.event_id for each in second.deliveries], second.position) == (["evt_a"], None)


def test_nothing_is_before_the_first_position(store: WebhookStore, cloud: Cloud) -> None:
    endpoint = add(store, put(store), "evt_a")
    asked = cloud.operations.count("Query")

    page = store.list_deliveries(endpoint, 0, 2)

    # DynamoDB refuses a range that ends before it begins, which moto takes.
    assert (page.deliveries, page.position, cloud.operations.count("Query")) == ((), None, asked)


def test_endpoints_are_found_by_when_they_are_due(store: WebhookStore) -> None:
    later, sooner = put(store), put(store, an_endpoint(endpoint_id="wh_2"))
    callback = store.create_callback(an_endpoint(endpoint_id="cb_1"))
    for endpoint, at in ((later, after(60)), (sooner, after(5)), (callback, after(30))):
        store.update(endpoint, lifecycle.postpone(endpoint, NOW, at))

    assert store.find_due(after(4), 10) == []
    assert store.find_due(after(60), 10) == [
        (TENANT, "wh_2"),
        (TENANT, "cb_1"),
        (TENANT, later.endpoint_id),
    ]
    assert store.find_due(after(60), 1) == [(TENANT, "wh_2")]


def test_each_method_says_when_the_table_is_away(cloud: Cloud) -> None:
    store = DynamoWebhookStore(cloud.dynamodb, "no-such-table")
    endpoint, delivery = an_endpoint(), a_delivery()
    change = lifecycle.claim(NOW)

    for call in (
        lambda: store.create(endpoint, ONE_MORE),
        lambda: store.create_callback(endpoint),
        lambda: store.update(endpoint, change),
        lambda: store.read(TENANT, "wh_1"),
        lambda: store.read_all(TENANT),
        lambda: store.read_tenant(TENANT, NOW),
        lambda: store.update_tenant(TENANT, ONE_MORE),
        lambda: store.enqueue(endpoint, change, [delivery]),
        lambda: store.conclude(endpoint, change, delivery, change),
        lambda: store.read_from(endpoint, 1),
        lambda: store.read_retries(endpoint),
        lambda: store.find_delivery(endpoint, "evt_a"),
        lambda: store.list_deliveries(endpoint, None, 2),
        lambda: store.find_due(NOW, 2),
    ):
        with pytest.raises(StoreUnavailableError):
            call()


def test_slow_lane_is_one_invocations_until_it_is_left_or_its_lease_ends(store: WebhookStore) -> None:
    assert store.claim_slow_lane(NOW, after(60))
    assert not store.claim_slow_lane(after(1), after(61))
    store.leave_slow_lane(after(60), after(2))
    assert store.claim_slow_lane(after(3), after(63))
    assert store.claim_slow_lane(after(64), after(124)), "the lease had ended"
    store.leave_slow_lane(after(63), after(65))
    assert not store.claim_slow_lane(after(66), after(126)), "who was overtaken takes nothing away"

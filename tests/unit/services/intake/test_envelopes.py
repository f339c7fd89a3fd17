from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from rune.errors import InvalidDocumentError, InvalidRequestError, NotJsonError
from rune.jobs.record import Kind
from rune.services.intake import envelopes
from rune.services.intake.envelopes import Event, Form, Order, Task
from rune.services.intake.ways import Way, key_of
from tests.builders import REQUEST
from tests.unit.services.intake.offices import BUCKET, TOPIC, a_body, a_drop_event, an_order

type Reader = Callable[[str], object]

READERS: dict[Way, Reader] = {
    Way.DROP: lambda body: envelopes.read_created_object(body, BUCKET),
    Way.BUS: envelopes.read_event,
    Way.QUEUE: lambda body: envelopes.read_message(body, "message-1"),
    Way.TOPIC: lambda body: envelopes.read_notification(body, TOPIC),
    Way.INVOKE: lambda body: envelopes.read_invocation(json.loads(body), "call-1"),
    Way.WORKFLOW: envelopes.read_task,
}
S3_TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-23T12:00:00Z", "Bucket": BUCKET}
S3_DIRECT = {
    "Records": [{"eventVersion": "2.6", "eventSource": "aws:s3", "s3": {"bucket": {"name": BUCKET}}}]
}
SNS_TO_LAMBDA = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "{}"}}]}
FOREIGN: dict[str, str] = {
    **{way.value: a_body(way) for way in READERS if way is not Way.INVOKE},
    "s3 test": json.dumps(S3_TEST),
    "s3 direct": json.dumps(S3_DIRECT),
    "sns to lambda": json.dumps(SNS_TO_LAMBDA),
}
TAKES = {Way.INVOKE: {"queue"}}


@pytest.mark.parametrize("way", READERS)
@pytest.mark.parametrize("form", FOREIGN)
def test_intake_refuses_every_envelope_but_its_own(way: Way, form: str) -> None:
    if form == way or form in TAKES.get(way, ()):
        READERS[way](FOREIGN[form])
        return

    with pytest.raises(InvalidRequestError) as refused:
        READERS[way](FOREIGN[form])

    assert refused.value.specific_code == "foreign_envelope"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (S3_TEST, Form.S3_NOTIFICATION),
        (S3_DIRECT, Form.S3_NOTIFICATION),
        (SNS_TO_LAMBDA, Form.RECORDS),
        ({"Records": []}, Form.RECORDS),
        ({"Type": "SubscriptionConfirmation", "TopicArn": TOPIC}, Form.NOTIFICATION),
        ({"source": "a", "detail-type": "b", "detail": {}}, Form.EVENT),
        ({"kind": "benchmark", "request": {}, "detail": {}}, Form.EVENT),
        ({"kind": "benchmark", "request": {}, "task_token": "t"}, Form.TASK),
        ({"kind": "benchmark", "request": {"source": "of the request"}}, Form.REQUEST),
        ({}, Form.REQUEST),
    ],
)
def test_form_is_told_by_the_marks_of_an_envelope(body: dict[str, object], form: Form) -> None:
    assert envelopes.form_of(body) is form


@pytest.mark.parametrize("way", [way for way in READERS if way is not Way.INVOKE])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", NotJsonError),
        ("not JSON", NotJsonError),
        ("[" * 99_999, NotJsonError),
        ("[]", InvalidRequestError),
        ('"text"', InvalidRequestError),
        ("null", InvalidRequestError),
    ],
)
def test_what_is_no_object_is_refused(way: Way, body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        READERS[way](body)


# ---------------------------------------------------------------- what each way says


def test_message_is_known_by_its_senders_key() -> None:
    order = envelopes.read_message(a_body(Way.QUEUE), "message-1")

    assert order == Order(Kind.BENCHMARK, REQUEST, ("key", "build-4711"))


@pytest.mark.parametrize(
    ("order", "identity"),
    [
        (envelopes.read_message(an_order(), "m"), ("message", "m")),
        (envelopes.read_invocation(json.loads(an_order()), "c"), ("invocation", "c")),
        (
            envelopes.read_notification(a_body(Way.TOPIC), TOPIC),
            ("notification", "2bd0b2a8-0c4c-5a1e-9f2c-e9a7d5b6a111"),
        ),
        (
            envelopes.read_task(a_body(Way.WORKFLOW))[0],
            ("task", "arn:aws:states:eu-central-1:123456789012:execution:nightly:run-1", "Measure", ""),
        ),
    ],
)
def test_order_without_a_key_is_known_by_what_survives_its_redelivery(
    order: Order, identity: tuple[str, ...]
) -> None:
    assert order.identity == identity


def test_event_is_known_by_its_senders_key_among_those_of_its_source() -> None:
    assert envelopes.read_event(a_body(Way.BUS)) == Event(
        "acme.ci", Order(Kind.BENCHMARK, REQUEST, ("key", "acme.ci", "build-4711"))
    )


def test_event_without_a_key_is_known_by_its_id_also_when_it_is_replayed() -> None:
    event = json.loads(a_body(Way.BUS))
    event["detail"].pop("metadata")
    replayed = {**event, "replay-name": "again"}

    identities = {envelopes.read_event(json.dumps(each)).order.identity for each in (event, replayed)}

    assert identities == {("event", event["id"])}


def test_task_gives_its_token_and_is_the_same_order_with_another_one() -> None:
    body = json.loads(a_body(Way.WORKFLOW))
    order, task = envelopes.read_task(json.dumps(body))
    again, newer = envelopes.read_task(json.dumps({**body, "task_token": "newer"}))

    assert again == order
    assert (task.execution, newer) == (body["execution"], Task("newer", body["execution"]))
    assert body["task_token"] not in repr(task)


def test_items_of_a_map_state_are_orders_of_their_own() -> None:
    body = json.loads(a_body(Way.WORKFLOW))

    identities = {
        envelopes.read_task(json.dumps({**body, "idempotency_key": str(index)}))[0].identity
        for index in range(2)
    }

    assert len(identities) == 2


# ---------------------------------------------------------------- what each way refuses


@pytest.mark.parametrize(
    ("detail", "pointer"),
    [
        ({"tenant": "acme", "data": {"kind": "benchmark", "request": {}}}, "/tenant"),
        ({"data": {"tenant": "acme", "kind": "benchmark", "request": {}}}, "/data/tenant"),
        (
            {"metadata": {"idempotency_key": 7}, "data": {"kind": "benchmark", "request": {}}},
            "/metadata/idempotency_key",
        ),
        ({"data": {"kind": "chat", "request": {}}}, "/data/kind"),
        ({"data": {"kind": "benchmark"}}, "/data/request"),
        ({}, "/data"),
        ("text", ""),
    ],
)
def test_events_detail_is_refused_by_field(detail: object, pointer: str) -> None:
    event = {**json.loads(a_body(Way.BUS)), "detail": detail}

    with pytest.raises(InvalidDocumentError) as refused:
        envelopes.read_event(json.dumps(event))

    assert refused.value.errors[0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"tenant": "acme"}, "/tenant"),
        ({"kind": "ollama-instance"}, "/kind"),
        ({"request": "text"}, "/request"),
        ({"idempotency_key": ""}, "/idempotency_key"),
        ({"idempotency_key": None}, "/idempotency_key"),
        ({"idempotency_key": "häh"}, "/idempotency_key"),
        ({"idempotency_key": "a\n"}, "/idempotency_key"),
        ({"idempotency_key": "k" * 256}, "/idempotency_key"),
        ({"idempotency_key": 7}, "/idempotency_key"),
    ],
)
def test_order_is_refused_by_field(change: dict[str, object], pointer: str) -> None:
    with pytest.raises(InvalidDocumentError) as refused:
        envelopes.read_message(an_order(**change), "m")

    assert [error["pointer"] for error in refused.value.errors] == [pointer]


@pytest.mark.parametrize(
    "change",
    [
        {"detail-type": "rune.job.succeeded"},
        {"detail-type": "Object Created", "source": "aws.s3"},
        {"source": None},
        {"id": 7},
    ],
)
def test_other_events_of_the_bus_are_refused(change: dict[str, object]) -> None:
    event = {**json.loads(a_body(Way.BUS)), **change}

    with pytest.raises(InvalidRequestError, match=r"detail-type|source"):
        envelopes.read_event(json.dumps(event))


@pytest.mark.parametrize("change", [{"TopicArn": TOPIC + "2"}, {"Message": {}}, {"MessageId": None}])
def test_message_of_another_topic_is_refused(change: dict[str, object]) -> None:
    envelope = {**json.loads(a_body(Way.TOPIC)), **change}

    with pytest.raises(InvalidRequestError, match="topic"):
        envelopes.read_notification(json.dumps(envelope), TOPIC)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [("Why?", "The Message is not JSON"), ("[]", "The Message must be a JSON object")],
)
def test_refusal_says_that_it_is_the_message_and_not_the_envelope(message: str, sentence: str) -> None:
    envelope = {**json.loads(a_body(Way.TOPIC)), "Message": message}

    with pytest.raises((InvalidRequestError, NotJsonError), match=sentence):
        envelopes.read_notification(json.dumps(envelope), TOPIC)


def test_end_of_the_subscription_is_named() -> None:
    envelope = {**json.loads(a_body(Way.TOPIC)), "Type": "UnsubscribeConfirmation"}

    with pytest.raises(InvalidRequestError, match="ended the queue's subscription"):
        envelopes.read_notification(json.dumps(envelope), TOPIC)


@pytest.mark.parametrize("inner", [Way.TOPIC, Way.BUS, Way.DROP, Way.WORKFLOW])
def test_notification_is_unwrapped_once(inner: Way) -> None:
    envelope = {**json.loads(a_body(Way.TOPIC)), "Message": a_body(inner)}

    with pytest.raises(InvalidRequestError) as refused:
        envelopes.read_notification(json.dumps(envelope), TOPIC)

    assert refused.value.specific_code == "foreign_envelope"


def test_object_of_another_bucket_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not the inbox"):
        envelopes.read_created_object(a_drop_event(), "another-bucket")


def test_token_is_found_in_a_task_that_is_wrong_in_all_else() -> None:
    body = json.dumps({"task_token": "t", "kind": 7})

    assert envelopes.find_task_token(body) == "t"
    assert json.loads(envelopes.without_task_token(body)) == {"kind": 7}


@pytest.mark.parametrize("body", ["not JSON", "[]", "{}", '{"task_token": 7}', '{"task_token": ""}'])
def test_no_token_is_found_where_there_is_none(body: str) -> None:
    assert envelopes.find_task_token(body) is None
    envelopes.without_task_token(body)


# ---------------------------------------------------------------- keys


def test_key_differs_by_way_by_tenant_and_by_identity() -> None:
    keys = {
        key_of(way, tenant, *identity)
        for way in Way
        for tenant in ("default", "acme")
        for identity in (("key", "a"), ("message", "a"), ("key", "a", "b"), ("key", "ab"))
    }

    assert len(keys) == len(Way) * 2 * 4
    assert key_of(Way.QUEUE, "default", "key", "a") == key_of(Way.QUEUE, "default", "key", "a")


def test_key_is_none_that_a_caller_of_the_api_can_send() -> None:
    assert not key_of(Way.QUEUE, "default", "key", "a").isascii()

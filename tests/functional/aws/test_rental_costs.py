"""What the rental store and its events use of DynamoDB, from the first write of a kept machine to its last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3

from rune.aws.outbox import DynamoOutbox
from rune.aws.rental_store import DynamoRentalStore
from rune.events.record import Subject, SubjectKind
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental
from rune.storage.change import Change
from tests.bench.costs import Usage
from tests.bench.meter import Meter
from tests.builders import after
from tests.cloud import TABLE, table_definition
from tests.memory_outbox import RecordingNotices
from tests.rental_builders import CONTRACT_ID, MODEL, RENTAL_ID, URL, a_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

LIFE: tuple[Callable[[Rental], Change], ...] = (
    lambda rental: lifecycle.note_contract(rental, CONTRACT_ID, after(3)),
    lambda rental: lifecycle.note_seen_running(rental, after(20), after(21)),
    lambda rental: lifecycle.note_running(rental, URL, after(60)),
    lambda rental: lifecycle.note_pulling(rental, MODEL, 4_900_000_000, after(61)),
    lambda rental: lifecycle.note_pulled(rental, MODEL, 4_900_000_000, after(120)),
    lambda rental: lifecycle.keep(rental, after(3600), after(300)),
    lambda rental: lifecycle.ask_release(rental, EndReason.EXPIRED, after(3600)),
    lambda rental: lifecycle.note_destroyed(rental, after(3601), is_taken=True),
    lambda rental: lifecycle.prove_release(rental, after(3605), after(3606)),
)


def test_kept_machine_and_its_four_events_use_what_docs_say_and_read_nothing(cloud: Cloud) -> None:
    indexes = table_definition()["GlobalSecondaryIndexes"]
    keys = [[key["AttributeName"] for key in index["KeySchema"]] for index in indexes]
    meter = Meter(cloud.dynamodb, TABLE, keys)
    notices = RecordingNotices()
    client = boto3.session.Session().client("dynamodb")
    rental_store = DynamoRentalStore(client, TABLE, notices)
    meter.watch(client)

    rental = a_rental()
    rental_store.open(rental)
    for make in LIFE:
        written = rental_store.update(rental, make(rental))
        assert isinstance(written, Rental)
        rental = written

    log = DynamoOutbox(cloud.dynamodb, TABLE).read_log(Subject(SubjectKind.RENTAL, RENTAL_ID), 0, 9)
    assert len(log) == len(notices.sent) == 4
    # Without events they were 18 and 2, and one read. One of the index is for the reading of charges a day later.
    # Three writes of the row count twice: with all that is known of an ended machine it is longer than 1 KB. The
    # order looks at the two rows of a stop, which is 4.
    assert meter.usage == Usage(calls=10, write_units=44, index_units=10)

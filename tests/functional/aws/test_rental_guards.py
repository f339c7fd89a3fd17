"""Each condition of the rental store alone refuses a write, in DynamoDB and in memory alike."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import pytest

from rune.aws.dynamodb_rows import to_expression, to_row
from rune.aws.outbox import DynamoOutbox
from rune.aws.rental_store import ALIVE_BUCKET, UNCHARGED_BUCKET, DynamoRentalStore
from rune.clock import to_epoch_ms
from rune.events.notices import SubjectNotice
from rune.events.record import Subject, SubjectKind
from rune.rentals import lifecycle
from rune.rentals.public_events import rental_event
from rune.rentals.record import Rental
from rune.rentals.store import RentalRefused, RentalStore
from rune.storage.change import Change, Is, allows, apply, satisfies
from tests.builders import JOB_ID
from tests.functional.aws.guarded import Guarded
from tests.functional.aws.rental_guards import GUARDED
from tests.memory_outbox import RecordingNotices
from tests.rental_builders import RENTAL_ID

if TYPE_CHECKING:
    from tests.cloud import Cloud

pytestmark = pytest.mark.slow

RENTAL = Subject(SubjectKind.RENTAL, RENTAL_ID)

KEPT_OUT = [(guarded, field, rental) for guarded in GUARDED for field, rental in guarded.refuses]
NAMES = [f"{guarded.function}-{field}-{rental.state}" for guarded, field, rental in KEPT_OUT]

every_guarded = pytest.mark.parametrize(
    "guarded", GUARDED, ids=lambda guarded: f"{guarded.function}-{guarded.accepts.state}"
)
everything_kept_out = pytest.mark.parametrize(("guarded", "field", "rental"), KEPT_OUT, ids=NAMES)


def test_table_of_guards_names_every_function_that_makes_a_change() -> None:
    makers = {
        name
        for name, function in inspect.getmembers(lifecycle, inspect.isfunction)
        if function.__module__ == lifecycle.__name__
        and not name.startswith("_")
        and function.__annotations__["return"] is Change
    }

    assert {guarded.function for guarded in GUARDED} == makers


@every_guarded
def test_table_of_guards_names_every_requirement(guarded: Guarded[Rental]) -> None:
    required = {requirement.field for requirement in guarded.change.requires}

    assert {field for field, _ in guarded.refuses} == required
    assert guarded.change.name == guarded.function
    assert allows(guarded.change, guarded.accepts)


@everything_kept_out
def test_table_of_guards_violates_one_requirement_at_a_time(
    guarded: Guarded[Rental], field: str, rental: Rental
) -> None:
    violated = [r.field for r in guarded.change.requires if not satisfies(rental, r)]

    assert violated == [field]


@every_guarded
def test_update_writes_when_nothing_stands_against_it(
    guarded: Guarded[Rental], rental_store: RentalStore
) -> None:
    rental_store.open(guarded.accepts)

    written = rental_store.update(guarded.accepts, guarded.change)

    assert written == apply(guarded.change, guarded.accepts) == rental_store.read(RENTAL_ID)


@everything_kept_out
def test_update_refuses_when_one_requirement_fails(
    guarded: Guarded[Rental], field: str, rental: Rental, rental_store: RentalStore
) -> None:
    rental_store.open(rental)

    assert rental_store.update(guarded.accepts, guarded.change) == RentalRefused(rental)
    assert rental_store.read(RENTAL_ID) == rental


@every_guarded
def test_update_refuses_when_there_is_no_such_rental(
    guarded: Guarded[Rental], rental_store: RentalStore
) -> None:
    assert rental_store.update(guarded.accepts, guarded.change) == RentalRefused(None)
    assert rental_store.read(RENTAL_ID) is None


@every_guarded
def test_update_leaves_row_and_line_as_a_new_rental_would_have_them(
    guarded: Guarded[Rental], cloud: Cloud
) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, "rune-test")
    rental_store.open(guarded.accepts)
    rental_store.update(guarded.accepts, guarded.change)

    left = apply(guarded.change, guarded.accepts)
    row = {"pk": {"S": f"JOB#{JOB_ID}"}, "sk": {"S": "RENTAL#0001"}, **to_row(left)}
    line = {"pk": {"S": f"TENANT#{left.tenant}"}, "sk": {"S": f"RENTAL#{RENTAL_ID}"}}
    if left.due_at is not None:
        row |= {"due_bucket": {"S": ALIVE_BUCKET if left.is_alive else UNCHARGED_BUCKET}}
    expected = [row, line | {"rental_id": {"S": RENTAL_ID}}]
    has_ended = guarded.accepts.is_alive and not left.is_alive
    if has_ended:
        struck_out = {"expires_at": {"N": str(int(left.updated_at.timestamp()))}}
        expected = [row, line | {"rental_id": {"S": RENTAL_ID}} | struck_out]
    if has_ended and left.contract_id is not None and left.released_at:
        sort_key = f"ENDED#{to_epoch_ms(left.released_at):013d}#{RENTAL_ID}"
        expected.insert(1, {"pk": line["pk"], "sk": {"S": sort_key}, "expires_at": row["expires_at"]})
    assert [row for row in cloud.rows() if not row["pk"]["S"].startswith("LOG#")] == expected


@every_guarded
def test_change_with_an_event_requires_the_version_by_which_it_is_numbered(guarded: Guarded[Rental]) -> None:
    event = rental_event(guarded.accepts, guarded.change)

    assert event is None or Is("version", guarded.accepts.version) in guarded.change.requires
    assert event is None or event.sequence == apply(guarded.change, guarded.accepts).version


@every_guarded
def test_update_leaves_the_event_that_the_change_has(guarded: Guarded[Rental], cloud: Cloud) -> None:
    notices = RecordingNotices()
    rental_store = DynamoRentalStore(cloud.dynamodb, "rune-test", notices)
    rental_store.open(guarded.accepts)
    rental_store.update(guarded.accepts, guarded.change)

    event = rental_event(guarded.accepts, guarded.change)
    assert DynamoOutbox(cloud.dynamodb, "rune-test").read_log(RENTAL, after=0, limit=9) == (
        (event,) if event else ()
    )
    assert notices.sent == ([SubjectNotice(RENTAL)] if event else [])


@everything_kept_out
def test_update_that_is_refused_leaves_no_event(
    guarded: Guarded[Rental], field: str, rental: Rental, cloud: Cloud
) -> None:
    notices = RecordingNotices()
    rental_store = DynamoRentalStore(cloud.dynamodb, "rune-test", notices)
    rental_store.open(rental)
    rental_store.update(guarded.accepts, guarded.change)

    assert [row for row in cloud.rows() if row["pk"]["S"].startswith("LOG#")] == []
    assert notices.sent == []


WORDS = re.compile(r"#?:?[A-Za-z_]\w*")
ALLOWED_WORDS = {"SET", "ADD", "REMOVE", "AND", "OR", "IN", "if_not_exists", "attribute_not_exists"}
FIXED = {
    "rental_id",
    "label",
    "tenant",
    "job_id",
    "attempt",
    "intended_at",
    "machine",
    "ceiling_at",
}


@every_guarded
def test_expression_holds_only_placeholders_of_plain_names(guarded: Guarded[Rental]) -> None:
    expression = to_expression(guarded.change, ALIVE_BUCKET)

    words = set(WORDS.findall(expression.update + " " + expression.condition)) - ALLOWED_WORDS
    assert words == {*expression.names, *expression.values}
    assert all(name.isidentifier() for name in expression.names.values())
    assert not {".", "["} & set(expression.update)


@every_guarded
def test_change_leaves_alone_what_a_rental_is(guarded: Guarded[Rental]) -> None:
    change = guarded.change

    # A kept machine whose price rises stays for less time.
    fixed = FIXED - ({"ceiling_at"} if change.name == "note_price" else set())
    assert not fixed & {*change.sets, *change.adds, *change.sets_once}
    assert {"updated_at"} <= change.sets.keys()
    assert {name: by for name, by in change.adds.items() if name != "downloaded_bytes"} == {"version": 1}

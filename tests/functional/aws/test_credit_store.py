"""The row of reserved credit is put right only as it was doubted, in DynamoDB and in memory alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from rune.aws.credit_store import DynamoCreditStore
from rune.aws.dynamodb_rows import to_row
from rune.aws.rental_store import DynamoRentalStore
from rune.rentals import credit, lifecycle
from rune.rentals.credit import Credit, CreditStore
from rune.rentals.store import RentalStore
from rune.storage.change import Change
from tests.builders import NOW, after
from tests.cloud import TABLE
from tests.functional.aws.guarded import Guarded
from tests.memory_rental_store import MemoryCreditStore, MemoryRentalStore
from tests.rental_builders import a_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

pytestmark = pytest.mark.slow

KEY = {"pk": {"S": "CREDIT"}, "sk": {"S": "CREDIT"}}
PLAIN = Credit(700, version=2, updated_at=NOW)
DOUBTED = replace(PLAIN, doubted_micro_usd=700, doubted_at=NOW)
DOUBTED_AGAIN = replace(DOUBTED, doubted_at=after(60))
"""Something was reserved or given back, and another janitor has doubted the row since."""

GUARDED = (
    Guarded(
        "doubt",
        credit.doubt(PLAIN, after(60)),
        PLAIN,
        (("reserved_micro_usd", replace(PLAIN, reserved_micro_usd=701)), ("doubted_at", DOUBTED)),
    ),
    Guarded(
        "doubt",
        credit.doubt(Credit(), after(60)),
        Credit(),
        (("reserved_micro_usd", Credit(0)), ("doubted_at", Credit(doubted_at=NOW))),
    ),
    Guarded("trust", credit.trust(DOUBTED, after(60)), DOUBTED, (("doubted_at", DOUBTED_AGAIN),)),
    Guarded(
        "correct",
        credit.correct(DOUBTED, 300, after(301)),
        DOUBTED,
        (
            ("reserved_micro_usd", replace(DOUBTED, reserved_micro_usd=701)),
            ("doubted_at", PLAIN),
            ("doubted_at", DOUBTED_AGAIN),
        ),
    ),
)
KEPT_OUT = [(guarded.change, row) for guarded in GUARDED for _, row in guarded.refuses]


@dataclass
class Stores:
    """Rentals and the credit of one table."""

    rentals: RentalStore
    credit: CreditStore
    put: Callable[[Credit], object]


@pytest.fixture(params=["dynamodb", "memory"])
def stores(request: pytest.FixtureRequest, cloud: Cloud) -> Stores:
    if request.param == "dynamodb":
        client = cloud.dynamodb
        return Stores(
            DynamoRentalStore(client, TABLE),
            DynamoCreditStore(client, TABLE),
            lambda row: client.put_item(TableName=TABLE, Item={**KEY, **to_row(row)}),
        )
    rentals = MemoryRentalStore()
    return Stores(rentals, MemoryCreditStore(rentals), lambda row: setattr(rentals, "credit", row))


@pytest.mark.parametrize("guarded", GUARDED, ids=lambda guarded: guarded.function)
def test_row_that_meets_all_requirements_is_written(guarded: Guarded[Credit], stores: Stores) -> None:
    stores.put(guarded.accepts)

    assert {requirement.field for requirement in guarded.change.requires} == {f for f, _ in guarded.refuses}
    assert stores.credit.write(guarded.change)
    assert stores.credit.read() != guarded.accepts


@pytest.mark.parametrize(("change", "row"), KEPT_OUT)
def test_row_that_misses_one_requirement_stays_as_it_was(change: Change, row: Credit, stores: Stores) -> None:
    stores.put(row)

    assert not stores.credit.write(change)
    assert stores.credit.read() == row


def test_reservation_keeps_a_doubted_row_from_being_corrected(stores: Stores) -> None:
    stores.put(DOUBTED)
    rental = a_rental(reserved_micro_usd=5)

    # The row holds the same amount again, and the rental was alive when the living were counted.
    stores.rentals.open(rental, 1000)
    stores.rentals.update(rental, lifecycle.prove_release(rental, NOW, NOW))

    assert stores.credit.read().reserved_micro_usd == 700
    assert not stores.credit.write(credit.correct(DOUBTED, 5, after(301)))


def test_row_that_is_not_there_can_be_doubted(stores: Stores) -> None:
    assert stores.credit.read() == Credit()
    assert stores.credit.write(credit.doubt(Credit(), NOW))
    assert stores.credit.read() == Credit(None, version=1, updated_at=NOW, doubted_at=NOW)

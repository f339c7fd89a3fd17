"""What contracts were charged, from rows as the provider may send them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from rune.money.receipts import Charge, ChargeProblem
from rune.rentals.charges import Charges, Reading, add_up, is_overcharged, read_for
from rune.rentals.record import Rental
from tests.rental_builders import a_released_rental

DAY = date(2026, 11, 29)
NEXT_DAY = date(2026, 11, 30)


def a_row(amount: object = 0.442, day: date = DAY, **members: object) -> dict[str, object]:
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    parts = {"gpu": 0.36, "disk": 0.01, "bwd": 0.068, "bwu": 0.004}
    items = [{"type": name, "amount": part} for name, part in parts.items()]
    return {"source": "instance-7", "start": midnight, "amount": amount, "items": items, **members}


def test_row_is_the_charge_of_a_contract_in_parts() -> None:
    assert add_up([a_row()]) == Charges({7: Charge(360_000, 10_000, 72_000)}, {7: DAY})


def test_amounts_may_be_texts() -> None:
    items = [{"type": "gpu", "amount": "0.370"}, {"type": "disk", "amount": "0.072"}]
    row = a_row("0.442", start=str(a_row()["start"]), items=items)

    assert add_up([row]).by_contract == {7: Charge(370_000, 72_000, 0)}


def test_days_of_a_contract_add_up_in_any_order() -> None:
    charges = add_up([a_row(day=NEXT_DAY), a_row(source="instance-8"), a_row()])

    assert {number: charge.micro_usd for number, charge in charges.by_contract.items()} == {
        7: 884_000,
        8: 442_000,
    }
    assert charges.last_days == {7: NEXT_DAY, 8: DAY}


def test_row_that_comes_twice_counts_once_and_as_the_dearer() -> None:
    charges = add_up([a_row(0.5), a_row(0.442), a_row(0.5)])

    assert charges.by_contract[7].micro_usd == 500_000


def test_parts_add_up_to_the_amount_where_the_rounded_items_do_not() -> None:
    items = [{"type": name, "amount": 0.001} for name in ("gpu", "disk", "bwd")]

    charge = add_up([a_row(0.002, items=items)]).by_contract[7]

    assert charge.micro_usd == 2_000


def test_amount_without_items_is_the_gpus() -> None:
    assert add_up([a_row(items=None)]).by_contract == {7: Charge(442_000, 0, 0)}


@pytest.mark.parametrize("source", ["volume-7", "instance-", "instance-x", None, 7])
def test_rows_of_anything_else_are_left_out(source: object) -> None:
    assert add_up([a_row(source=source)]) == Charges()


@pytest.mark.parametrize("wrong", [{"amount": "much"}, {"amount": "NaN"}, {"start": None}, {"amount": True}])
def test_contract_with_a_row_that_cannot_be_read_is_left_out_alone(wrong: dict[str, object]) -> None:
    rows = [a_row(day=NEXT_DAY), {**a_row(), **wrong}, a_row(source="instance-8")]

    assert set(add_up(rows).by_contract) == {8}


ENDED_ON = datetime(2026, 11, 29, 23, 59, tzinfo=UTC)


def a_gone_rental(**overrides: object) -> Rental:
    return a_released_rental(**{"contract_id": 7, "destroyed_at": ENDED_ON, **overrides})


CHARGED = Charge(360_000, 10_000, 72_000, attempt=1)


@pytest.mark.parametrize(
    ("known", "days", "readings", "expected"),
    [
        (None, (DAY,), 0, Reading(CHARGED, None, is_final=False)),
        (CHARGED, (DAY,), 1, Reading(CHARGED, None, is_final=True)),
        (Charge(1, attempt=1), (DAY,), 1, Reading(CHARGED, None, is_final=False)),
        (Charge(900_000, attempt=1), (DAY,), 1, Reading(Charge(900_000, attempt=1), None, is_final=False)),
        (CHARGED, (date(2026, 11, 28),), 1, Reading(CHARGED, None, is_final=False)),
        (None, (DAY,), 6, Reading(CHARGED, None, is_final=True)),
        (None, (), 0, Reading(None, ChargeProblem.NOT_THERE, is_final=False)),
        (None, (), 6, Reading(None, ChargeProblem.NOT_THERE, is_final=True)),
        (CHARGED, (), 1, Reading(CHARGED, None, is_final=False)),
    ],
    ids=[
        "first",
        "the same again",
        "risen",
        "fallen",
        "the same without the last day",
        "last",
        "nothing",
        "nothing to the end",
        "gone again",
    ],
)
def test_charge_is_final_when_two_readings_agree(
    known: Charge | None, days: tuple[date, ...], readings: int, expected: Reading
) -> None:
    rental = a_gone_rental(billed=known, charge_reading_count=readings)

    assert read_for(rental, add_up(a_row(day=day) for day in days)) == expected


@pytest.mark.parametrize(("readings", "is_final"), [(0, False), (6, True)])
def test_key_without_the_right_leaves_the_charge_open(readings: int, *, is_final: bool) -> None:
    rental = a_gone_rental(charge_reading_count=readings)

    assert read_for(rental, None) == Reading(None, ChargeProblem.NOT_ALLOWED, is_final)


def test_every_contract_with_the_rentals_label_is_its_own() -> None:
    rental = a_gone_rental()
    labelled, foreign = {"label": rental.label}, {"label": "of another"}
    rows = [
        a_row(),
        a_row(source="instance-8", metadata=labelled),
        a_row(source="instance-9", metadata=foreign),
    ]

    reading = read_for(rental, add_up(rows))

    assert reading.charge == Charge(720_000, 20_000, 144_000, attempt=1)


@pytest.mark.parametrize(
    ("charged", "told_before", "expected"),
    [(61_400, 0, False), (61_401, 0, True), (61_401, 10_001, False), (71_400, 10_001, True)],
)
def test_operator_is_told_of_what_exceeds_the_tolerance_and_what_was_told(
    charged: int, told_before: int, *, expected: bool
) -> None:
    rental = a_gone_rental(cost_micro_usd=51_400, over_micro_usd=told_before)

    assert is_overcharged(rental, Charge(charged)) is expected

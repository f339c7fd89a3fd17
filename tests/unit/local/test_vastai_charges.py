import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from local.simulators.vastai import Scope, Traffic
from tests.unit.local.vastai_caller import BEGAN_AT, SETTINGS, Caller

DAY_SECONDS = 86_400
MIDNIGHT = BEGAN_AT // DAY_SECONDS * DAY_SECONDS
PROMPT = replace(SETTINGS, charges_lag_seconds=0.0, credit_usd=Decimal(100))


def read_charges(
    caller: Caller, *, since: float = MIDNIGHT, until: float | None = None, **query: str
) -> dict[str, Any]:
    day = {"gte": since, "lte": caller.now if until is None else until}
    return caller.read("GET", "/api/v0/charges/", select_filters=json.dumps({"day": day}), **query)


def amounts(row: dict[str, Any]) -> dict[str, float]:
    return {item["type"]: item["amount"] for item in row["items"]}


def test_charge_names_contract_label_and_parts() -> None:
    caller = Caller(PROMPT)
    contract_id = caller.rent()
    caller.host.bytes[contract_id] = Traffic(4_900_000_000, sent_bytes=2_000_000_000)
    caller.now += 60 + 3_600
    caller.destroy(contract_id)

    told = read_charges(caller)
    assert (told["count"], told["total"], told["next_token"]) == (1, 1, None)
    row = told["results"][0]
    assert (row["type"], row["source"], row["metadata"]) == (
        "instance",
        f"instance-{contract_id}",
        {"label": "rune-1"},
    )
    # Exactly 0.36, 0.010167, 0.068 and 0.004.
    assert (row["amount"], amounts(row)) == (0.442, {"gpu": 0.36, "disk": 0.01, "bwd": 0.068, "bwu": 0.004})


def test_charges_are_rounded_so_that_parts_need_not_add_up() -> None:
    caller = Caller(PROMPT)
    contract_id = caller.rent()
    caller.now += 60 + 24
    caller.destroy(contract_id)

    # Exactly 0.0024, 0.000233 and 0.019.
    row = read_charges(caller)["results"][0]
    assert (row["amount"], round(sum(amounts(row).values()), 3)) == (0.022, 0.021)


def test_charges_come_late() -> None:
    caller = Caller()
    caller.destroy(caller.rent())
    caller.now += 3_599
    assert read_charges(caller)["results"] == []
    caller.now += 1
    assert read_charges(caller)["total"] == 1


def test_charges_of_one_day_leave_out_the_others() -> None:
    caller = Caller(PROMPT)
    contract_id = caller.rent()
    caller.now += 2 * DAY_SECONDS
    caller.destroy(contract_id)

    first, second, third = read_charges(caller)["results"]
    assert [row["start"] for row in (first, second, third)] == [
        MIDNIGHT + number * DAY_SECONDS for number in range(3)
    ]
    assert amounts(second) == {"gpu": 8.64, "disk": 0.24, "bwd": 0.0, "bwu": 0.0}
    # Traffic is charged once, on the last day.
    assert (amounts(first)["bwd"], amounts(third)["bwd"]) == (0.0, 0.019)
    assert read_charges(caller, since=MIDNIGHT + DAY_SECONDS)["results"] == [second, third]
    assert read_charges(caller, since=MIDNIGHT + 3 * DAY_SECONDS)["results"] == []


def test_charges_are_counted_by_contract_whose_days_are_on_one_page() -> None:
    caller = Caller(PROMPT)
    contract_id = caller.rent()
    caller.now += 2 * DAY_SECONDS
    caller.destroy(contract_id)

    page = read_charges(caller, limit="1")
    assert (page["count"], page["total"], len(page["results"]), page["next_token"]) == (1, 1, 3, None)


def test_span_that_begins_after_midnight_leaves_the_day_out() -> None:
    caller = Caller(PROMPT)
    caller.destroy(caller.rent())

    assert read_charges(caller, since=MIDNIGHT + 1)["results"] == []


def test_charges_may_lack_the_label() -> None:
    caller = Caller(replace(PROMPT, charges_tell_labels=False))
    contract_id = caller.rent()

    (row,) = read_charges(caller)["results"]
    assert (row["metadata"], row["source"]) == ({}, f"instance-{contract_id}")


def test_charges_come_in_pages_latest_first() -> None:
    caller = Caller(PROMPT)
    first = caller.rent()
    caller.now += 10
    second = caller.rent(112)

    page = read_charges(caller, limit="1")
    rest = read_charges(caller, limit="1", after_token=page["next_token"])
    assert [row["source"] for row in (*page["results"], *rest["results"])] == [
        f"instance-{second}",
        f"instance-{first}",
    ]
    assert rest["next_token"] is None


def test_charges_need_a_span_of_days() -> None:
    answer = Caller().ask("GET", "/api/v0/charges/", select_filters='{"day": {"gte": 1}}')
    assert (answer.status, "'day' gte and lte" in str(answer.body)) == (400, True)


def test_charges_need_their_own_right() -> None:
    keys = {scope.value: frozenset({scope}) for scope in (Scope.USER_READ, Scope.BILLING_READ)}
    caller = Caller(replace(SETTINGS, scoped_keys=keys))
    statuses = [
        caller.ask("GET", "/api/v0/charges/", key=f"Bearer {key}", select_filters="{}").status for key in keys
    ]
    assert statuses == [403, 400]


def test_messy_charges_are_texts_and_repeat_the_last_contract_of_a_page() -> None:
    caller = Caller(replace(PROMPT, charges_are_messy=True))
    first, second = caller.rent(), caller.rent(112)
    caller.now += 60 + 3_600

    page = read_charges(caller, limit="1", latest_first="false")
    rest = read_charges(caller, limit="1", latest_first="false", after_token=page["next_token"])

    assert [row["source"] for row in page["results"]] == [f"instance-{first}"]
    assert [row["source"] for row in rest["results"]] == [f"instance-{second}", f"instance-{first}"]
    assert {type(row["amount"]) for row in rest["results"]} == {str}

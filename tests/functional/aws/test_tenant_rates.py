"""What processes tell each other of a tenant's requests, in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rune.aws.tenant_rates import DynamoRateCounter
from rune.tenants.rates import RequestClass

if TYPE_CHECKING:
    from tests.cloud import Cloud


def test_counts_of_a_window_add_up_and_others_stay_apart(cloud: Cloud) -> None:
    counter = DynamoRateCounter(cloud.dynamodb, "rune-test")

    assert counter.add("acme", RequestClass.POLLS, 170_000_000, 30) == 30
    assert counter.add("acme", RequestClass.POLLS, 170_000_000, 5) == 35
    assert counter.add("acme", RequestClass.SUBMITS, 170_000_000, 7) == 7
    assert counter.add("acme", RequestClass.POLLS, 170_000_001, 1) == 1
    assert counter.add("team", RequestClass.POLLS, 170_000_000, 2) == 2


def test_row_expires_minutes_after_its_window(cloud: Cloud) -> None:
    DynamoRateCounter(cloud.dynamodb, "rune-test").add("acme", RequestClass.POLLS, 170_000_000, 1)

    (row,) = cloud.dynamodb.scan(TableName="rune-test")["Items"]
    assert row["expires_at"] == {"N": "1700000600"}


def test_total_is_unknown_when_the_table_cannot_be_asked(cloud: Cloud) -> None:
    counter = DynamoRateCounter(cloud.dynamodb, "no-such-table")

    assert counter.add("acme", RequestClass.POLLS, 170_000_000, 1) is None

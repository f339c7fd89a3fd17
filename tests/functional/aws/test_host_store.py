"""What is known of hosts in DynamoDB, and in memory where both must do the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from rune.aws.host_store import DynamoHostStore
from rune.errors import StoreUnavailableError
from rune.rentals.hosts import REMEMBERED, HostRecord, HostReport, HostStore
from tests.builders import NOW, after

if TYPE_CHECKING:
    from tests.cloud import Cloud

TABLE = "rune-test"


def a_report(rental_id: str, seconds: float = 0, **overrides: object) -> HostReport:
    return HostReport(1, rental_id, after(seconds), **overrides)  # type: ignore[arg-type]  # as given


def test_host_is_unknown_until_a_rental_reports(host_store: HostStore) -> None:
    assert host_store.read({1, 2}, NOW) == {}


def test_failures_in_a_row_are_counted_until_the_host_serves_a_job(host_store: HostStore) -> None:
    host_store.note(a_report("a-1", 0, failure="boot_failed"))
    host_store.note(a_report("b-1", 60, failure="pull_too_slow", mbit_per_second=7.5))
    failed = host_store.read({1}, after(70))
    host_store.note(a_report("c-1", 120, mbit_per_second=812.25))

    assert failed == {1: HostRecord(2, after(60), 7.5)}
    assert host_store.read({1}, after(130)) == {1: HostRecord(0, after(60), 812.25)}


def test_speed_stays_known_when_a_later_rental_measured_none(host_store: HostStore) -> None:
    host_store.note(a_report("a-1", mbit_per_second=500.0))
    host_store.note(a_report("b-1", 60, failure="boot_failed"))

    assert host_store.read({1}, after(60)) == {1: HostRecord(1, after(60), 500.0)}


def test_rental_reports_once_when_its_step_runs_twice(host_store: HostStore) -> None:
    for _ in range(2):
        host_store.note(a_report("a-1", failure="boot_failed"))

    assert host_store.read({1}, NOW)[1].failures_in_row == 1


def test_reports_of_other_hosts_do_not_count(host_store: HostStore) -> None:
    host_store.note(HostReport(2, "a-1", NOW, failure="boot_failed"))

    assert host_store.read({1}, NOW) == {}
    assert set(host_store.read({1, 2}, NOW)) == {2}


def test_report_expires(host_store: HostStore) -> None:
    host_store.note(a_report("a-1", failure="boot_failed"))

    assert set(host_store.read({1}, NOW + REMEMBERED - timedelta(seconds=1))) == {1}
    assert host_store.read({1}, NOW + REMEMBERED) == {}


def test_many_hosts_are_read_at_once(host_store: HostStore) -> None:
    host_store.note(HostReport(250, "a-1", NOW, failure="boot_failed"))

    assert set(host_store.read(range(1, 301), NOW)) == {250}


def test_store_that_cannot_be_reached_says_so(cloud: Cloud) -> None:
    host_store = DynamoHostStore(cloud.dynamodb, "no-such-table")

    with pytest.raises(StoreUnavailableError):
        host_store.note(a_report("a-1"))
    with pytest.raises(StoreUnavailableError):
        host_store.read({1}, NOW)

"""What is known of hosts, in memory; `tests/functional/aws` shows that DynamoDB does the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import override

from rune.rentals.hosts import REMEMBERED, UNKNOWN_HOST, HostRecord, HostReport, HostStore


class MemoryHostStore(HostStore):
    """Reports about hosts.

    Attributes
    ----------
    reports
        The latest of each host.
    """

    def __init__(self, records: Mapping[int, HostRecord] | None = None) -> None:
        self.reports: dict[int, HostReport] = {}
        self._records = dict(records or {})

    @override
    def read(self, machine_ids: Collection[int], now: datetime) -> Mapping[int, HostRecord]:
        return {
            machine_id: self._records[machine_id]
            for machine_id in machine_ids
            if machine_id in self._records and not self._has_expired(machine_id, now)
        }

    @override
    def note(self, report: HostReport) -> None:
        latest = self.reports.get(report.machine_id)
        if latest is not None and latest.rental_id == report.rental_id:
            return
        known = self._records.get(report.machine_id, UNKNOWN_HOST)
        has_failed = report.failure is not None
        self.reports[report.machine_id] = report
        self._records[report.machine_id] = HostRecord(
            known.failures_in_row + 1 if has_failed else 0,
            report.reported_at if has_failed else known.failed_at,
            known.mbit_per_second if report.mbit_per_second is None else report.mbit_per_second,
        )

    def _has_expired(self, machine_id: int, now: datetime) -> bool:
        report = self.reports.get(machine_id)
        return report is not None and report.reported_at + REMEMBERED <= now

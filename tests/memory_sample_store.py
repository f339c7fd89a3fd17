"""Samples of past jobs in memory, as a job store in memory has written them."""

from __future__ import annotations

from datetime import datetime
from typing import override

from rune.jobs.samples import LATEST, Sample, SampleStore, Shape
from tests.memory_job_store import MemoryJobStore


class MemorySampleStore(SampleStore):
    """The samples that a store's jobs have left."""

    def __init__(self, jobs: MemoryJobStore) -> None:
        self._jobs = jobs

    @override
    def read(self, shape: Shape, now: datetime, limit: int = LATEST) -> tuple[Sample, ...]:
        of_shape = [row for row in self._jobs.samples if row.shape == shape]
        newest = sorted(of_shape, key=lambda row: (row.ended_at, row.job_id), reverse=True)[:limit]
        samples = (self._jobs.samples[row] for row in newest)
        return tuple(each for each in samples if each.expires_at is not None and each.expires_at > now)

"""Where callers read what their finished benchmarks measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Protocol, Self

from pydantic import Field

from rune.clock import Clock
from rune.contracts import (
    ArtifactLink,
    BenchmarkBookkeeping,
    BenchmarkReport,
    Document,
    RecordsLink,
    read_stored,
)
from rune.errors import (
    JobNotFinishedError,
    NoReportError,
    NotABenchmarkError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.jobs.artifacts import artifact_key, is_artifact_name
from rune.jobs.record import Job, Kind, Status
from rune.jobs.store import StoredJob
from rune.services.jobs import Caller, JobService

LINK_LIFETIME = timedelta(minutes=15)
"""Long enough to begin a download. A download that has begun is not broken off."""

MOST_RECORD_BYTES = 12_000_000
"""Of single requests that are read for a page: about a second of the API's function, which has fifteen."""
PARTS_OF_A_FILE = 4

_RECORDS_KEY = re.compile(
    r"results/(?P<job_id>[^/]+)/records/(?:(?P<run>[0-9]{2})|judgements)-(?P<epoch>[0-9]+)\.jsonl"
)


class Links(Protocol):
    """Gives access to single objects of the bucket. Raises StoreUnavailableError."""

    def link(self, key: str, lifetime: timedelta) -> str:
        """Return an address that gives read access to the object, without a credential, for a limited time."""
        ...


class Parts(Protocol):
    """Reads parts of the bucket's objects. Raises StoreUnavailableError."""

    def read(self, key: str, begin: int, most_bytes: int) -> tuple[bytes, int]:
        """Return up to so many bytes of an object from a place on, and how many it has in all."""
        ...


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file.

    Attributes
    ----------
    is_whole
        Whether these are all of it; otherwise they come from parts that are spread evenly over it.
    """

    texts: tuple[str, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Reported:
    """A benchmark that succeeded, with its report and the keys of its records' files."""

    job: Job
    report: BenchmarkReport
    record_keys: tuple[str, ...]


class ReportService:
    """Reports as one tenant's callers see them.

    Every method that looks for a benchmark raises these.

    Raises
    ------
    JobNotFoundError
        The tenant has no such job.
    NotABenchmarkError
        It has, of another kind.
    JobNotFinishedError
        It has not ended.
    NoReportError
        It ended in another way, or without a report.
    RateLimitedError
        The caller's address is blocked.
    StoreUnavailableError
        The table or the bucket cannot be reached.
    """

    def __init__(self, jobs: JobService, links: Links, parts: Parts, clock: Clock) -> None:
        self._jobs = jobs
        self._links = links
        self._parts = parts
        self._clock = clock

    def find(self, caller: Caller, job_id: str) -> Reported:
        """Return a benchmark's report."""
        return self._open(self._jobs.find(caller, job_id))

    def find_many(self, caller: Caller, job_ids: Sequence[str]) -> tuple[Reported, ...]:
        """Return the reports of up to 40 different benchmarks, in the order of their ids, from one read."""
        return tuple(self._open(stored) for stored in self._jobs.find_many(caller, job_ids))

    def link_artifacts(self, caller: Caller, job_id: str) -> list[ArtifactLink]:
        """Return where the files of any job's result can be downloaded; none of a job that has not ended well.

        Raises
        ------
        JobNotFoundError, RateLimitedError, StoreUnavailableError
            As for reports.
        """
        stored = self._jobs.find(caller, job_id)
        if stored.job.kind is not Kind.AGENTIC_AGENT or stored.result_json is None:
            return []
        try:
            artifacts = read_stored(_StoredAnswer, stored.result_json).artifacts or []
        except UnreadableRowError:
            return []
        expires_at = self._clock.now() + LINK_LIFETIME
        names = [each["file"] for each in artifacts if each.get("type") == "transcript" and "file" in each]
        return [
            ArtifactLink(
                kind="transcript",
                name=name,
                url=self._links.link(artifact_key(stored.job.job_id, name), LINK_LIFETIME),
                expires_at=expires_at,
            )
            for name in names
            if is_artifact_name(name)
        ]

    def link_records(self, reported: Reported) -> list[RecordsLink]:
        """Return where the records can be downloaded, by run and block."""
        expires_at = self._clock.now() + LINK_LIFETIME
        files = _files_of(reported)
        runs = [file.run for file in files]
        return [
            RecordsLink(
                content="judgements" if file.run is None else "requests",
                run=file.run,
                block=None if file.run is None else runs[:at].count(file.run),
                url=self._links.link(file.key, LINK_LIFETIME),
                expires_at=expires_at,
            )
            for at, file in enumerate(files)
        ]

    def read_records(self, reported: Reported, most_bytes: int = MOST_RECORD_BYTES) -> dict[int, Lines]:
        """Return single requests by run, as lines of its files; a run of which one cannot be read now is left out.

        Parameters
        ----------
        most_bytes
            Of all files together. Of one that has more than its share, parts are read, spread evenly over it.
        """
        files = [file for file in _files_of(reported) if file.run is not None]
        found: dict[int, Lines] = {}
        for run, of_run in groupby(files, key=lambda file: file.run):
            try:
                blocks = [self._read_lines(file.key, most_bytes // len(files)) for file in of_run]
            except StoreUnavailableError:
                # Its cause is logged where it was raised. The report is there, and says more than an error would.
                continue
            lines = tuple(line for block in blocks for line in block.texts)
            found[run or 0] = Lines(lines, is_whole=all(block.is_whole for block in blocks))
        return found

    def _read_lines(self, key: str, most_bytes: int) -> Lines:
        data, total_bytes = self._parts.read(key, 0, most_bytes)
        if total_bytes <= most_bytes:
            return Lines(tuple(data.decode(errors="replace").splitlines()), is_whole=True)
        part_bytes = most_bytes // PARTS_OF_A_FILE
        begins = [
            index * (total_bytes - part_bytes) // (PARTS_OF_A_FILE - 1) for index in range(PARTS_OF_A_FILE)
        ]
        parts = [data[:part_bytes]]
        parts += [self._parts.read(key, begin, part_bytes)[0] for begin in begins[1:]]
        lines: list[str] = []
        for part in parts:
            # Both ends are most often within a line. What is cut is no JSON; who reads the lines passes it over.
            lines += part.decode(errors="replace").splitlines()
        return Lines(tuple(lines), is_whole=False)

    def _open(self, stored: StoredJob) -> Reported:
        job = stored.job
        if job.kind is not Kind.BENCHMARK:
            raise NotABenchmarkError(job.job_id)
        if job.is_active:
            raise JobNotFinishedError(job.job_id, self._jobs.seconds_until_news(job) or 1)
        if job.status is not Status.SUCCEEDED or stored.result_json is None:
            raise NoReportError(job.job_id, f"it {_ENDED_BY[job.status]}")
        try:
            result = read_stored(_Stored, stored.result_json)
        except UnreadableRowError:
            raise NoReportError(
                job.job_id, "this version of RUNE cannot read the one that is there"
            ) from None
        if result.report is None:
            raise NoReportError(job.job_id, "the version of RUNE that ran it made none")
        return Reported(job, result.report, result.bookkeeping.record_keys)


_ENDED_BY = {
    Status.SUCCEEDED: "lost its result",
    Status.FAILED: "failed",
    Status.CANCELLED: "was cancelled",
}


class _Stored(Document):
    """The members of a `StoredBenchmarkResult` that are read here. The rest may be of any version."""

    bookkeeping: BenchmarkBookkeeping = Field(default_factory=BenchmarkBookkeeping)
    report: BenchmarkReport | None = None


class _StoredAnswer(Document):
    """The member of an `AgenticAgentResult` that is read here."""

    artifacts: list[dict[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """An object with records of a run, or of a block of it, or with judgements (`run` is None)."""

    key: str
    run: int | None
    epoch: int

    @classmethod
    def of(cls, key: str, job_id: str) -> Self:
        """Return what a key says; raises ValueError for any other object.

        Workers write the keys. Another job's key would be a fault of RUNE, and must not become a link to its data.
        """
        match = _RECORDS_KEY.fullmatch(key)
        if match is None or match["job_id"] != job_id:
            raise ValueError(f"{key!r} is no object with records of job {job_id!r}.")
        return cls(key, None if match["run"] is None else int(match["run"]), int(match["epoch"]))

    def order(self) -> tuple[bool, int, int]:
        """Return its place: by run, by block as later blocks have later epochs, the judgements last."""
        return self.run is None, self.run or 0, self.epoch


def _files_of(reported: Reported) -> list[_File]:
    """Return a benchmark's files of records in order."""
    return sorted((_File.of(key, reported.job.job_id) for key in reported.record_keys), key=_File.order)

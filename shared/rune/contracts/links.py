"""Where the files of a benchmark can be downloaded."""

from datetime import datetime

from rune.contracts.document import Document


class RecordsLink(Document):
    """The records of one point: a file with one JSON document a line (docs/benchmarks.md)."""

    run: int
    """Index of the run in the report."""
    url: str
    """Opens with GET and without a credential; who has it can read the file, so treat it as one."""
    expires_at: datetime
    """Until when, at most."""


class RecordsLinks(Document):
    """The requests of a benchmark one by one, as files."""

    job_id: str
    records: list[RecordsLink]
    """By run; empty for a benchmark that asked its question once."""

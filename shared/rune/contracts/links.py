"""Where the files of a benchmark can be downloaded."""

from datetime import datetime
from typing import Literal

from rune.contracts.document import Document


class RecordsLink(Document):
    """A file with one JSON document a line (docs/benchmarks.md)."""

    content: Literal["requests", "judgements"]
    """The requests of one run, or what a judge model said of the answers of all runs."""
    run: int | None
    """Index of the run in the report; null for judgements."""
    url: str
    """Opens with GET and without a credential. Anyone with the address can read the file, so keep it secret."""
    expires_at: datetime
    """Until when, at most."""


class RecordsLinks(Document):
    """The requests of a benchmark one by one, as files."""

    job_id: str
    records: list[RecordsLink]
    """By run; empty for a benchmark that asked its question once."""

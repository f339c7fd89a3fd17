"""Links: where the files of a benchmark can be downloaded, and to documents without a token."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rune.contracts.document import Document


class RecordsLink(Document):
    """A file with one JSON document a line (docs/benchmarks.md)."""

    content: Literal["requests", "judgements"]
    """The requests of one run, or of one of its blocks, or what a judge model said of the answers of all runs."""
    run: int | None
    """Index of the run in the report; null for judgements."""
    block: int | None
    """Index of the block of that run, 0 for a run that was measured at once; null for judgements."""
    url: str
    """Opens with GET and without a credential. Anyone with the address can read the file, so keep it secret."""
    expires_at: datetime
    """Until when, at most."""


class RecordsLinks(Document):
    """The requests of a benchmark one by one, as files."""

    job_id: str
    records: list[RecordsLink]
    """By run and block; empty for a benchmark that asked its question once."""


class ArtifactLink(Document):
    """A file of a job's result."""

    kind: Literal["transcript"]
    """The conversation of an investigation, one JSON document a line (docs/agents.md)."""
    name: str
    url: str
    """Opens with GET and without a credential. Anyone with the address can read the file, so keep it secret."""
    expires_at: datetime
    """Until when, at most."""


class ArtifactLinks(Document):
    """The files of a job's result."""

    job_id: str
    artifacts: list[ArtifactLink]
    """Empty for a job that has none, or has not ended."""


type LinkTargetName = Literal["job", "events", "report"]


class LinkRequest(Document):
    """Which document of a job a link should open, and for how long."""

    what: LinkTargetName
    """`job`: where it stands, with its result; `events`: its history, also as a stream; `report`: a benchmark's."""
    lifetime_seconds: int = Field(default=600, ge=10, le=3600)
    """How long it opens."""


class PageLinkRequest(Document):
    """For how long a page of a benchmark shall open without a token, and which comparison with it."""

    lifetime_seconds: int = Field(default=86_400, ge=60, le=604_800)
    """How long it opens: a day, up to a week."""
    compared_with: list[str] = Field(default_factory=list, max_length=9)
    """Other own benchmarks, which are held against this one on a second page."""
    threshold: float = Field(default=0.05, ge=0, le=1, allow_inf_nan=False)
    """Differences below this ratio are none, on the second page."""


class PageLink(Document):
    """A link to the page of a benchmark, and to that of its comparison."""

    job_id: str
    url: str
    """Path and query at the API's base URL. It opens the page with GET and without a token, as it is, and nothing
    else; anyone with it can read the page, so keep it secret."""
    comparison_url: str | None
    """The same of the comparison; null where none was asked for."""
    expires_at: datetime
    """From then on they open nothing."""


class JobLink(Document):
    """A link to one document of a job."""

    job_id: str
    what: LinkTargetName
    url: str
    """Path and query at the API's base URL. It opens with GET and without a token; anyone with it can read the
    document, so keep it secret. Other members may be added to its query, such as `after`."""
    expires_at: datetime
    """From then on it opens nothing. A stream that has begun is not broken off."""

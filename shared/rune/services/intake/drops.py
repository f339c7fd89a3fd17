"""Objects that were put into the inbox: where they are, whose they are, and what may be in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rune.contracts.problems import Problem
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind
from rune.services.intake.envelopes import Order, parse_json
from rune.tenants.entries import TENANT

INBOX = "inbox/"
OUTBOX = "outbox/"

LARGEST_BYTES = 10 * 1024 * 1024
"""Largest object: as large as the body of a request may be."""

MOST_LINES = 1000
"""Most lines of a file with many requests: as many jobs as a tenant may have waiting by default."""

_LONGEST_KEY_BYTES = 1024
"""S3's own limit. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

_PATH_PARTS = 4
"""`inbox`, the tenant, the kind, and a name, in which there may be more slashes."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A new object.

    Attributes
    ----------
    version_id
        None where the bucket has no versions, or the event does not tell.
    etag, sequencer
        What else tells this object from an earlier or later one under the same key; empty where it is not told.
    """

    key: str
    size_bytes: int
    version_id: str | None
    etag: str
    sequencer: str

    @property
    def identity(self) -> tuple[str, ...]:
        """The same at every delivery of the event about this object, and different for another object."""
        return (self.key, self.version_id or "", self.etag, self.sequencer)

    @property
    def is_folder_marker(self) -> bool:
        """Whether consoles and tools made it to show a folder."""
        return self.key.endswith("/") and self.size_bytes == 0

    @property
    def answer_key(self) -> str | None:
        """Where the answer goes; None where the key would be too long."""
        key = OUTBOX + self.key.removeprefix(INBOX)
        return key if len(key.encode()) <= _LONGEST_KEY_BYTES else None

    @property
    def has_lines(self) -> bool:
        """Whether each line is a request."""
        return self.key.endswith(".jsonl")


@dataclass(frozen=True, slots=True)
class Place:
    """What the key of an object says: for whom, and what kind of job."""

    tenant: str
    kind: Kind


def read_drop(detail: Mapping[str, Any]) -> Drop:
    """Return the object that an event of S3 tells of; raises InvalidRequestError."""
    told = detail.get("object")
    key = told.get("key") if isinstance(told, dict) else None
    size = told.get("size", 0) if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(key, str) or not isinstance(size, int):
        raise InvalidRequestError("The event names no object.", pointer="/detail/object")
    if not key.startswith(INBOX):
        # Never an answer of ours: it would make the next one.
        raise InvalidRequestError(
            f"The object is not below {INBOX}.", pointer="/detail/object/key", code="not_in_the_inbox"
        )
    version_id = told.get("version-id")
    return Drop(
        key,
        size,
        str(version_id) if version_id else None,
        str(told.get("etag", "")),
        str(told.get("sequencer", "")),
    )


def place_of(drop: Drop) -> Place:
    """Return whose job it is, and of which kind, by the key alone; raises InvalidRequestError."""
    parts = drop.key.split("/", _PATH_PARTS - 1)
    kinds = {kind.value: kind for kind in Kind}
    is_file = drop.key.endswith((".json", ".jsonl"))
    has_parts = len(parts) == _PATH_PARTS and TENANT.fullmatch(parts[1]) and parts[2] in kinds
    if not has_parts or not is_file:
        raise InvalidRequestError(
            f"An object's key is {INBOX}<tenant>/<kind>/<name>.json or .jsonl, where the kind is one of "
            f"{', '.join(kinds)}.",
            pointer="/key",
            code="invalid_key",
        )
    if drop.size_bytes > LARGEST_BYTES:
        refuse_size()
    return Place(parts[1], kinds[parts[2]])


def refuse_size() -> None:
    """Refuse an object that is too large."""
    raise InvalidRequestError(
        f"The object is larger than {LARGEST_BYTES // 1024**2} MiB.", pointer="", code="body_too_large"
    )


def order_of(kind: Kind, text: bytes, identity: tuple[str, ...]) -> Order:
    """Return the order that a whole object, or one line of it, is.

    Raises
    ------
    NotJsonError, InvalidRequestError
        It is no JSON object.
    """
    request = parse_json(text)
    if not isinstance(request, dict):
        raise InvalidRequestError("The request must be a JSON object.", pointer="")
    return Order(kind, request, identity)


def lines_of(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the lines that are not empty, each with its number from 1.

    Raises
    ------
    InvalidRequestError
        There are too many, or none.
    """
    lines = [(number, line) for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()]
    if not lines:
        raise InvalidRequestError("The object has no line with a request.", pointer="", code="no_lines")
    if len(lines) > MOST_LINES:
        raise InvalidRequestError(
            f"The object has {len(lines):,} requests; {MOST_LINES:,} are the most. Put the others into another "
            "object.",
            pointer="",
            code="too_many_lines",
        )
    return iter(lines)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one line, or of an object without lines (line 0).

    Attributes
    ----------
    job_id
        None where it was refused.
    """

    line: int
    job_id: str | None = None
    problem: Problem | None = None

    def as_json(self) -> str:
        """Return the document: the API's, and for a line its number before it."""
        document: dict[str, object] = {"line": self.line} if self.line else {}
        if self.problem is not None:
            return json.dumps({**document, **self.problem.as_document()})
        return json.dumps({**document, "job_id": self.job_id, "status": "accepted"})


@dataclass(frozen=True, slots=True)
class Progress:
    """Which of an object's lines have been answered.

    Attributes
    ----------
    answers
        By the line's number, as they stand in the outbox.
    refused
        Lines whose answer is a refusal.
    """

    answers: Mapping[int, str] = field(default_factory=dict)
    refused: frozenset[int] = frozenset()

    def without_refusals(self) -> Progress:
        """Return the lines that became jobs."""
        return Progress({line: text for line, text in self.answers.items() if line not in self.refused})


FOR_GOOD = frozenset({400, 422})
"""Statuses that the same line meets each time, until somebody mends the cause."""


def read_progress(answers: str) -> Progress:
    """Return which lines were answered for good.

    A problem that another try may not meet, such as too many waiting jobs, answers no line: it was written when
    patience had ended, and an operator has sent the message again.
    """
    found: dict[int, str] = {}
    refused: set[int] = set()
    for text in answers.splitlines():
        answer = json.loads(text)
        number, status = answer.get("line"), answer["status"]
        is_refusal = isinstance(status, int)
        if number is None or (is_refusal and status not in FOR_GOOD):
            continue
        found[number] = text
        if is_refusal:
            refused.add(number)
    return Progress(found, frozenset(refused))

"""An object in the inbox becomes one job, or a job a line; the answer stands in the outbox."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from rune.contracts.problems import Problem, problem_of
from rune.errors import (
    IdempotencyKeyReusedError,
    InvalidDocumentError,
    InvalidRequestError,
    NotJsonError,
)
from rune.services.intake.drops import (
    LARGEST_BYTES,
    Answer,
    Drop,
    Place,
    Progress,
    lines_of,
    order_of,
    place_of,
    read_progress,
    refuse_size,
)
from rune.services.intake.orders import Orders
from rune.services.intake.ways import Way

log = logging.getLogger(__name__)

LINES_BETWEEN_ANSWERS = 50
"""Lines after which the answers so far are written, so that a process that dies costs at most so many again.

Those again are the same jobs, by their keys. Writing each line's answer by itself would cost as much as its job.
"""


class Inbox(Protocol):
    """The bucket. Each method raises StoreUnavailableError where it cannot be reached."""

    def fetch(self, key: str, version_id: str | None, etag: str, largest_bytes: int) -> bytes | None:
        """Return the very object, or its first bytes, one more than the largest; None where it is no more there."""
        ...

    def read_answer(self, key: str, drop_id: str) -> str | None:
        """Return the answer under the key; None where there is none, or it is another object's."""
        ...

    def write_answer(self, key: str, drop_id: str, text: str, *, has_lines: bool) -> None:
        """Write an answer in place of an earlier one."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an object.

    Attributes
    ----------
    is_complete
        False where the time was over before its last line.
    """

    answered_count: int = 0
    refused_count: int = 0
    is_complete: bool = True


class DropService:
    """Takes objects from the inbox."""

    def __init__(self, inbox: Inbox, orders: Orders) -> None:
        self._inbox = inbox
        self._orders = orders

    def take(self, drop: Drop, may_go_on: Callable[[], bool], *, is_first_time: bool) -> Answered:
        """Submit what is in the object, and write the answer.

        What is refused line by line is in the answer alone. All else is raised, after the answers so far were
        written.

        Parameters
        ----------
        may_go_on
            Called before each line; once it returns False, the rest is left to the next call.
        is_first_time
            Whether the message has not been delivered before. Lines that were refused by then are judged again: an
            operator has mended the cause, and sent the message again.

        Raises
        ------
        RuneError
            The object is refused as a whole, or another try may succeed.
        """
        place = place_of(drop)
        text = self._inbox.fetch(drop.key, drop.version_id, drop.etag, LARGEST_BYTES)
        if text is None:
            # Deleted or overwritten before it was read. What overwrote it has an event of its own.
            log.warning("drop.gone", extra={"tenant": place.tenant})
            return Answered()
        if len(text) > LARGEST_BYTES:
            refuse_size()
        if drop.has_lines:
            lines = lines_of(text)
            return self._take_lines(drop, place, lines, self._begin(drop, is_first_time), may_go_on)
        order = order_of(place.kind, text, drop.identity)
        submitted = self._orders.submit(Way.DROP, place.tenant, order)
        self._write(drop, Answer(0, submitted.job_id).as_json())
        return Answered(answered_count=1)

    def end_with(self, drop: Drop, problem: Problem) -> None:
        """Write why an object, or the rest of it, was refused."""
        if drop.has_lines and (answers := self._read_progress(drop).answers):
            last = Answer(max(answers) + 1, problem=problem)
            self._write_lines(drop, {**answers, last.line: last.as_json()})
        else:
            self._write(drop, Answer(0, problem=problem).as_json())

    def _begin(self, drop: Drop, is_first_time: bool) -> Progress:  # noqa: FBT001  # private
        progress = self._read_progress(drop)
        if not is_first_time or not progress.refused:
            return progress
        accepted = progress.without_refusals()
        # At once: the next delivery takes what stands there for answered.
        self._write_lines(drop, accepted.answers)
        return accepted

    def _take_lines(
        self,
        drop: Drop,
        place: Place,
        lines: Iterator[tuple[int, bytes]],
        progress: Progress,
        may_go_on: Callable[[], bool],
    ) -> Answered:
        answers, refused_count = {**progress.answers}, len(progress.refused)
        is_complete = True
        try:
            for number, line in lines:
                if number in progress.answers:
                    continue
                if not may_go_on():
                    is_complete = False
                    break
                answer = self._take_line(drop, place, number, line)
                refused_count += answer.problem is not None
                answers[number] = answer.as_json()
                if len(answers) % LINES_BETWEEN_ANSWERS == 0:
                    self._write_lines(drop, answers)
        finally:
            # Also where a line could not be submitted now: the next call goes on there.
            if len(answers) > len(progress.answers):
                self._write_lines(drop, answers)
        return Answered(len(answers), refused_count, is_complete)

    def _take_line(self, drop: Drop, place: Place, number: int, line: bytes) -> Answer:
        """Return the answer to a line; raises where it is about the tenant, or about this moment."""
        try:
            order = order_of(place.kind, line, (*drop.identity, str(number)))
            submitted = self._orders.submit(Way.DROP, place.tenant, order)
        except (InvalidDocumentError, InvalidRequestError, IdempotencyKeyReusedError, NotJsonError) as error:
            return Answer(number, problem=problem_of(error))
        return Answer(number, submitted.job_id)

    def _read_progress(self, drop: Drop) -> Progress:
        if drop.answer_key is None:
            return Progress()
        return read_progress(self._inbox.read_answer(drop.answer_key, _id_of(drop)) or "")

    def _write_lines(self, drop: Drop, answers: Mapping[int, str]) -> None:
        self._write(drop, *(answers[number] for number in sorted(answers)))

    def _write(self, drop: Drop, *documents: str) -> None:
        if drop.answer_key is None:
            log.warning("drop.unanswered")
            return
        text = "".join(document + "\n" for document in documents)
        self._inbox.write_answer(drop.answer_key, _id_of(drop), text, has_lines=drop.has_lines)


def _id_of(drop: Drop) -> str:
    """Return what tells this object's answer from that to another object under the same key."""
    return hashlib.sha256(json.dumps(drop.identity).encode()).hexdigest()

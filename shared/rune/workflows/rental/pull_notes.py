"""What the rental's row is told of a download: before it begins, while it comes, and when it ends."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil

from rune.clock import Clock
from rune.errors import (
    AddressError,
    ContextOverflowError,
    DiskFullError,
    ModelNotFoundError,
    ModelServerError,
    ModelUnsupportedError,
    OutOfMemoryError,
    RegistryFailedError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    StreamFailedError,
)
from rune.llm.protocol import PullProgress
from rune.rentals import lifecycle
from rune.rentals.bills import fastest_bytes
from rune.rentals.record import Rental
from rune.rentals.store import Decide
from rune.storage.change import Change

SAID_BY_SERVER = (
    ContextOverflowError,
    DiskFullError,
    ModelNotFoundError,
    ModelUnsupportedError,
    OutOfMemoryError,
    RegistryFailedError,
    RequestRejectedError,
    ServerAccessError,
    ServerFailedError,
    ServerOverloadedError,
    StreamFailedError,
)
"""Failures that the server itself told of: it has ended the download."""

CLOSING = timedelta(seconds=2)
"""From the end of our request until the machine has received the last byte: Ollama stops a download when its last
request is closed."""

_LEAST_MEASURED = timedelta(seconds=1)
"""A speed over less says nothing."""

_BYTES_PER_MBIT = 125_000
_BYTES_PER_GB = 1_000_000_000

type Update = Callable[[Rental, Decide], Rental]


class PullNotes:
    """Writes down one call's download.

    Where others have written the row since the call began, what was seen is not written: another worker may have
    begun to download too, and the bill then counts with more.

    Parameters
    ----------
    update
        `RentalDependencies.update`.
    """

    def __init__(self, update: Update, clock: Clock, rental: Rental, job_id: str, model: str) -> None:
        self._update = update
        self._clock = clock
        self._rental = rental
        self._job_id = job_id
        self._model = model
        self._first: tuple[datetime, int] | None = None
        self._seen_at = clock.now()
        self._is_overtaken = False
        self.seen = PullProgress(0, 0)

    def begin(self, most_bytes: int) -> bool:
        """Write down what the download may take, before it begins.

        Return False if the machine is lost, or if another worker has ended the same download meanwhile.
        """
        now, read_version = self._clock.now(), self._rental.version

        def decide(found: Rental) -> Change | None:
            # Even where nothing else changes the version does: an earlier worker must write no more.
            is_others = found.version != read_version and found.pulling_model == self._model
            is_written = is_others and not 0 < found.pulling_bytes < most_bytes
            if is_written or not found.is_used_by(self._job_id):
                return None
            return lifecycle.note_pulling(found, self._model, most_bytes, now)

        self._rental = self._update(self._rental, decide)
        self._seen_at = now
        return self._rental.is_used_by(self._job_id) and self._rental.pulling_bytes > 0

    def see(self, progress: PullProgress) -> None:
        """Remember what has come, and write down at once that the model is larger than was written."""
        now = self._clock.now()
        if progress.completed_bytes and self._first is None:
            self._first = (now, progress.completed_bytes)
        self.seen, self._seen_at = progress, now
        told_bytes = min(progress.total_bytes, self._rental.machine.disk_gb * _BYTES_PER_GB)
        if told_bytes > self._rental.pulling_bytes:
            self._raise_to(told_bytes)

    def pause(self) -> None:
        """Write down what has come of a download that may go on."""
        if self.seen.completed_bytes:
            self._note(self.seen.completed_bytes, self._seen_at, is_over=False)

    def stop(self) -> None:
        """Write down what may have come of a download that this worker has broken off, or the server has ended."""
        # Nothing is known of the speed of a machine that an earlier version has rented.
        if self._rental.mbit_per_second is not None:
            now = self._clock.now()
            unseen = now - self._seen_at + CLOSING
            unseen_bytes = fastest_bytes(self._mbit_per_second(), unseen // timedelta(milliseconds=1))
            self._note(self.seen.completed_bytes + unseen_bytes, now, is_over=True)

    def end(self, error: ModelServerError | AddressError) -> None:
        """Write down what may have come of a download that has failed."""
        # Nothing is sent to an address that is refused.
        is_ended = isinstance(error, (*SAID_BY_SERVER, AddressError))
        if is_ended and not self.seen.total_bytes:
            # No layer was named, so none was sent for.
            self._note(0, self._clock.now(), is_over=True)
        elif isinstance(error, SAID_BY_SERVER):
            self.stop()
        else:
            self.pause()

    def _raise_to(self, most_bytes: int) -> None:
        begun, now = self._rental, self._clock.now()

        def decide(found: Rental) -> Change | None:
            # Others have written since, perhaps a worker that downloads too.
            self._is_overtaken = self._is_overtaken or found.version != begun.version
            if found.pulling_bytes >= most_bytes or not found.is_used_by(self._job_id):
                return None
            return lifecycle.note_pulling(found, self._model, most_bytes, now)

        self._rental = self._update(begun, decide)

    def _note(self, come_bytes: int, seen_at: datetime, *, is_over: bool) -> None:
        begun, now, mbit = self._rental, self._clock.now(), self._mbit_per_second()

        def decide(found: Rental) -> Change | None:
            is_overtaken = self._is_overtaken or found.version != begun.version
            if is_overtaken or not found.is_used_by(self._job_id):
                return None
            return lifecycle.note_pull_seen(
                found, come_bytes, seen_at, now, mbit_per_second=mbit, is_over=is_over
            )

        self._rental = self._update(begun, decide)

    def _mbit_per_second(self) -> int:
        """Return the machine's speed as it was stated, or as it was seen in this call if that is more."""
        stated = self._rental.mbit_per_second or 0
        if self._first is None:
            return stated
        first_at, first_bytes = self._first
        took = self._seen_at - first_at
        if took < _LEAST_MEASURED:
            return stated
        came_mbit = (self.seen.completed_bytes - first_bytes) / _BYTES_PER_MBIT
        return max(stated, ceil(came_mbit / took.total_seconds()))

"""Notices that are sent again, once a minute: of subjects with events that must still be published."""

import logging
from collections.abc import Callable

from rune.clock import Clock
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.events.notices import NoticeQueue, SubjectNotice
from rune.events.outbox import Outbox, send_again, set_aside
from rune.events.record import Subject
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC

log = logging.getLogger(__name__)

SUBJECTS_PER_TICK = 500

OUTAGE_ROWS = 3
"""After so many subjects one after another at which the store failed, the tick fails."""


class NoticeSweep:
    """Sends notices again for what is due.

    The new due time is written first, and only the janitor whose write was carried out sends.
    """

    def __init__(self, outbox: Outbox, notices: NoticeQueue, clock: Clock) -> None:
        self._outbox = outbox
        self._notices = notices
        self._clock = clock

    def sweep(self, may_go_on: Callable[[], bool]) -> int:
        """Return how many notices were sent.

        Raises
        ------
        StoreUnavailableError
            The store failed at some subjects, which stay due.
        """
        sent_count, failures_in_a_row = 0, 0
        failure: StoreUnavailableError | None = None
        for subject in self._outbox.find_due(self._clock.now(), SUBJECTS_PER_TICK):
            if not may_go_on():
                break
            try:
                sent_count += self._send_again(subject)
                failures_in_a_row = 0
            except StoreUnavailableError as error:
                failure = error
                failures_in_a_row += 1
                if failures_in_a_row == OUTAGE_ROWS:
                    raise
                log.warning("notice.store_unavailable", exc_info=True, extra={"subject": str(subject)})
        if failure is not None:
            raise failure
        return sent_count

    def _send_again(self, subject: Subject) -> bool:
        now = self._clock.now()
        try:
            state = self._outbox.read(subject)
        except UnreadableRowError:
            extra = {"subject": str(subject), "metric": ROWS_NOT_UNDERSTOOD_METRIC}
            log.exception("row.unreadable", extra=extra)
            self._outbox.update(subject, set_aside(now))
            return False
        if state.due_at is None or state.due_at > now:
            # Published meanwhile: the index lags.
            return False
        if not self._outbox.update(subject, send_again(state, now)):
            # Published, or taken up by another janitor, since it was read.
            return False
        log.info("notice.sent_again", extra={"subject": str(subject)})
        return self._notices.send(SubjectNotice(subject))

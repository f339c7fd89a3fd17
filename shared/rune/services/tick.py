"""The minute tick: what bills first, then what is late, then what waits, then what is to be told others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rune.errors import RuneError, StoreUnavailableError
from rune.jobs.admission import Admission
from rune.jobs.record import DueClass
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC
from rune.services.late_jobs import LateJobs, LateJobSweep
from rune.services.notices import NoticeSweep

if TYPE_CHECKING:
    from rune.services.late_webhooks import LateWebhooks

log = logging.getLogger(__name__)

BEFORE_MACHINES = (DueClass.RELEASE,)
RUNNING_METRIC = "JobsRunning"
WAITING_METRIC = "JobsWaiting"
"""Jobs with a slot and without one, as each tick finds them; the dashboard shows them (template.yaml)."""

AFTER_MACHINES = (DueClass.LEASE, DueClass.MESSAGE, DueClass.WAIT)


@dataclass(slots=True)
class TickResult:
    """What a tick did.

    Attributes
    ----------
    freed_count
        Slots of jobs that had ended without giving theirs back.
    fired_count
        Jobs that were posted for schedules.
    notice_count
        Notices that were sent again.
    charged_count
        Rentals of which it was written what the provider charged.
    failed
        Names of the parts that failed; the next tick does their work.
    """

    sent_count: int = 0
    ended_count: int = 0
    left_count: int = 0
    freed_count: int = 0
    admitted_count: int = 0
    fired_count: int = 0
    notice_count: int = 0
    charged_count: int = 0
    failed: list[str] = field(default_factory=list)


class JobTick:
    """The parts of a tick that are about jobs. One that fails does not keep the others from being done."""

    def __init__(
        self,
        late_jobs: LateJobSweep,
        admission: Admission,
        notices: NoticeSweep,
        webhooks: LateWebhooks | None = None,
    ) -> None:
        self._late_jobs = late_jobs
        self._admission = admission
        self._notices = notices
        self._webhooks = webhooks
        self.result = TickResult()
        self.is_stopping = False

    def go_on_stopping(self, go_on: Callable[[], bool]) -> None:
        """Go on with the stops that hold.

        Parameters
        ----------
        go_on
            Does it, and returns whether jobs are left to be cancelled.
        """

        def act() -> None:
            self.is_stopping = go_on()

        self._try("stop", act)

    def send_releases(self, may_go_on: Callable[[], bool]) -> None:
        """Send the late messages of jobs that give a machine back."""
        self._sweep(BEFORE_MACHINES, may_go_on)

    def send_late_and_admit(self, may_go_on: Callable[[], bool]) -> None:
        """Send all other late messages, end what is overdue, admit what may begin, and tell of long releases."""
        for due_class in AFTER_MACHINES:
            self._sweep((due_class,), may_go_on)
        self._try("slots", self._free_slots)
        self._try("admission", lambda: self._admit(may_go_on))
        self._try("long_releases", lambda: self._tell_long_releases(may_go_on))

    def check_credit(self, check: Callable[[], None]) -> None:
        """Check that the row of reserved credit is what living rentals have reserved."""
        self._try("credit", check)

    def read_charges(self, read: Callable[[], int]) -> None:
        """Write what the provider charged.

        Parameters
        ----------
        read
            Does it, and returns of how many rentals something was written.
        """

        def act() -> None:
            self.result.charged_count += read()

        self._try("charges", act)

    def fire_schedules(self, fire: Callable[[], tuple[int, int]]) -> None:
        """Post the jobs of schedules that are due.

        Parameters
        ----------
        fire
            Posts them, and returns how many jobs were posted and how many schedules were left to the next tick.
        """

        def act() -> None:
            fired_count, left_count = fire()
            self.result.fired_count += fired_count
            self.result.left_count += left_count

        self._try("schedules", act)

    def send_notices(self, may_go_on: Callable[[], bool]) -> None:
        """Send notices for events that must still be published, and for webhooks with something to do."""

        def send() -> None:
            self.result.notice_count += self._notices.sweep(may_go_on)

        def send_of_webhooks() -> None:
            if self._webhooks is not None:
                self.result.notice_count += self._webhooks.send(may_go_on)

        self._try("notices", send)
        self._try("webhooks", send_of_webhooks)

    def _sweep(self, classes: tuple[DueClass, ...], may_go_on: Callable[[], bool]) -> None:
        def sweep() -> None:
            found: LateJobs = self._late_jobs.sweep(classes, may_go_on)
            self.result.sent_count += found.sent_count
            self.result.ended_count += found.ended_count
            self.result.left_count += found.left_count

        self._try(classes[0].value, sweep)

    def _free_slots(self) -> None:
        places = self._admission.read_places()
        measured = {
            RUNNING_METRIC: sum(slot.job_id is not None for slot in places.slots),
            WAITING_METRIC: sum(share.waiting for share in places.shares),
        }
        log.info("jobs.measured", extra={"measured": measured})
        self.result.freed_count += self._admission.free_lost_slots(places)

    def _admit(self, may_go_on: Callable[[], bool]) -> None:
        self.result.admitted_count += self._admission.admit_waiting(may_go_on)

    def _tell_long_releases(self, may_go_on: Callable[[], bool]) -> None:
        self._late_jobs.tell_long_releases(may_go_on)

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except StoreUnavailableError:
            log.warning("tick.part_failed", exc_info=True, extra={"part": name})
            self.result.failed.append(name)
        except RuneError:
            log.exception("tick.part_failed", extra={"part": name, "metric": ROWS_NOT_UNDERSTOOD_METRIC})
            self.result.failed.append(name)

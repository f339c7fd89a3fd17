"""Following a job to its end, and what Ctrl-C does meanwhile.

The first Ctrl-C asks whether to cancel the job or to leave it to itself. Where nobody can be asked it is left, and
its id is told. A second one ends the program.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any

from rune_client import RuneClient, Update, WaitTimedOutError
from rune_client.cli.output import Output
from rune_client.cli.progress import Progress

type Record = Mapping[str, Any]

TICK_SECONDS = 1.0
"""How often the line at which something is under way is written again, so that its time goes on."""


class DetachedError(KeyboardInterrupt):
    """The job was left to itself after Ctrl-C. It goes on, and may cost money."""


class Watch:
    """One job that is followed."""

    def __init__(
        self, client: RuneClient, output: Output, job_id: str, *, wait_seconds: float | None = None
    ) -> None:
        self._client, self._output, self._job_id = client, output, job_id
        self._progress = Progress(is_live=output.is_live, width=output.progress.width)
        self._began = time.monotonic()
        self._wait_seconds = wait_seconds
        self._last_event = 0
        self._drawing = Lock()

    def run(self) -> Record:
        """Tell what is new of the job until it has ended, and return it.

        Raises
        ------
        WaitTimedOutError
            It has not ended within the time to wait.
        DetachedError
            A person left it to itself.
        KeyboardInterrupt
            Ctrl-C came twice.
        ApiError, NetworkError
            As `RuneClient.follow`.
        """
        while True:
            try:
                return self._follow()
            except KeyboardInterrupt:
                self._interrupted()

    def _elapsed_seconds(self) -> float:
        return time.monotonic() - self._began

    def _follow(self) -> Record:
        with self._ticking():
            for update in self._client.follow(self._job_id, after=self._last_event, **self._time_left()):
                with self._drawing:
                    self._tell(update)
                job = update.job
        self._output.clear_status()
        return job

    def _time_left(self) -> dict[str, float]:
        if self._wait_seconds is None:
            return {}
        left = self._wait_seconds - self._elapsed_seconds()
        if left <= 0:
            raise WaitTimedOutError(self._job_id, self._wait_seconds)
        return {"timeout_seconds": left}

    def _tell(self, update: Update) -> None:
        for event in update.events:
            self._last_event = max(self._last_event, event["id"])
            self._output.document("event", event)
            for line in self._progress.of_event(event, self._elapsed_seconds()):
                self._output.say(line)
        before = self._progress.stage
        for line in self._progress.of_job(update.job, self._elapsed_seconds()):
            self._output.say(line)
        if self._progress.stage != before and update.job["status"] in {"queued", "running"}:
            self._output.document("job", update.job)
        if update.job["status"] in {"queued", "running"}:
            self._output.status(self._progress.status(self._elapsed_seconds()))

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Write the status again each second, while the client waits for its next look."""
        if not self._output.is_live:
            yield
            return
        is_over = Event()
        thread = Thread(target=self._tick, args=(is_over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _tick(self, is_over: Event) -> None:
        while not is_over.wait(TICK_SECONDS):
            with self._drawing:
                if self._progress.stage is not None:
                    self._output.status(self._progress.status(self._elapsed_seconds()))

    def _interrupted(self) -> None:
        """Ask what is to become of the job; return where it is followed on."""
        self._output.clear_status()
        if not self._output.can_ask:
            raise DetachedError(self._job_id) from None
        answer = self._output.ask("\nCancel it, or leave it running?\n[c]ancel, [d]etach, Enter goes on:")
        if answer in {"d", "detach"}:
            raise DetachedError(self._job_id) from None
        if answer in {"c", "cancel"}:
            self._client.cancel(self._job_id)
            self._output.say(
                "Cancelling. What was rented is given back before the job is over; Ctrl-C leaves at once."
            )

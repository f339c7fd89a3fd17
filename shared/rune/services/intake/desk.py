"""One message of an intake's queue: accepted, put off, or refused for good."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rune.clock import Clock
from rune.contracts.problems import UNFORESEEN, Problem, problem_of
from rune.errors import InvalidRequestError, RequestError, RuneError, TooManyWaitingJobsError
from rune.jobs.record import Callback
from rune.services.intake import envelopes, patience
from rune.services.intake.drops import Drop, read_drop
from rune.services.intake.envelopes import Order
from rune.services.intake.inbox import DropService
from rune.services.intake.orders import Orders
from rune.services.intake.ways import Way
from rune.services.workflow_answers import WorkflowAnswers

log = logging.getLogger(__name__)

AT_ONCE_SECONDS = 1

NOT_FINISHED = Problem(503, "not_finished", "The object has more lines than there was time for.")


@dataclass(frozen=True, slots=True)
class Message:
    """A message of an intake's queue.

    Attributes
    ----------
    message_id
        The same for each delivery of this message, and another one when its sender sends it again.
    receive_count
        Deliveries so far, this one included.
    sent_at, first_received_at
        By the queue's clock; the same for each delivery.
    """

    body: str
    message_id: str
    receive_count: int
    sent_at: datetime
    first_received_at: datetime


@dataclass(frozen=True, slots=True)
class Addresses:
    """What tells whose something is.

    Attributes
    ----------
    tenant
        For whom the intakes of one tenant submit.
    sources
        Tenants by the source of an event.
    topic
        ARN of the topic.
    bucket
        The inbox.
    """

    tenant: str = ""
    sources: Mapping[str, str] | None = None
    topic: str = ""
    bucket: str = ""


class Refusals(Protocol):
    """The failure queues, one for each way."""

    def put(self, way: Way, body: str, problem: Problem) -> None:
        """Keep a message with the reason; raises StoreUnavailableError where the queue does not take it."""
        ...


class Desk:
    """Takes messages. What it says of one is final: the message is deleted, or comes again after a delay."""

    def __init__(
        self,
        orders: Orders,
        drops: DropService,
        workflows: WorkflowAnswers,
        *,
        refusals: Refusals,
        addresses: Addresses,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._drops = drops
        self._workflows = workflows
        self._refusals = refusals
        self._addresses = addresses
        self._clock = clock

    def take(self, way: Way, message: Message, may_go_on: Callable[[], bool]) -> int | None:
        """Return after how many seconds the message is to come again; None if it is settled.

        Parameters
        ----------
        may_go_on
            Whether there is time for one more line of an object.
        """
        try:
            return self._take(way, message, may_go_on)
        except Exception:
            # The outermost edge: one message must not fail its neighbours, and none may be lost.
            log.exception("intake.failed", extra={"way": way})
            return patience.delay_seconds(message.receive_count)

    def _take(self, way: Way, message: Message, may_go_on: Callable[[], bool]) -> int | None:
        try:
            if way is Way.DROP:
                return self._take_drop(message, may_go_on)
            if way is Way.WORKFLOW:
                self._take_task(message)
                return None
            tenant, order = self._read(way, message)
            submitted = self._orders.submit(way, tenant, order)
        except RuneError as error:
            return self._put_off_or_refuse(way, message, error)
        except Exception as error:
            # A bug, which another version may not have: tried again as long as any other failure.
            log.exception("intake.crashed", extra={"way": way})
            return self._put_off_or_refuse(way, message, error)
        log.info("intake.accepted", extra={"way": way, "tenant": tenant, "job_id": submitted.job_id})
        return None

    def _read(self, way: Way, message: Message) -> tuple[str, Order]:
        """Return an order and for whom it is."""
        match way:
            case Way.BUS:
                event = envelopes.read_event(message.body)
                return self._tenant_of(event.source), event.order
            case Way.QUEUE:
                order = envelopes.read_message(message.body, message.message_id)
            case _:
                order = envelopes.read_notification(message.body, self._addresses.topic)
        return self._addresses.tenant, order

    def _take_task(self, message: Message) -> None:
        order, task = envelopes.read_task(message.body)
        callback = Callback(None, task.token, task.execution, message.sent_at)
        tenant = self._addresses.tenant
        submitted = self._orders.submit(Way.WORKFLOW, tenant, order, callback)
        if submitted.is_replay:
            self._workflows.follow(submitted.job_id, callback)
        extra = {"way": Way.WORKFLOW, "tenant": tenant, "job_id": submitted.job_id}
        log.info("intake.accepted", extra=extra)

    def _tenant_of(self, source: str) -> str:
        tenant = (self._addresses.sources or {}).get(source)
        if tenant is None:
            raise InvalidRequestError(
                "The operator has given this source to no tenant.", pointer="/source", code="source_unknown"
            )
        return tenant

    def _take_drop(self, message: Message, may_go_on: Callable[[], bool]) -> int | None:
        drop = read_drop(envelopes.read_created_object(message.body, self._addresses.bucket))
        if drop.is_folder_marker:
            return None
        is_first_time = message.receive_count == 1
        answered = self._drops.take(drop, may_go_on, is_first_time=is_first_time)
        if not answered.is_complete and not self._is_over(message):
            return AT_ONCE_SECONDS
        if not answered.is_complete:
            self._refuse(Way.DROP, message, NOT_FINISHED, drop)
            return None
        counts = {"sent": answered.answered_count, "failed": answered.refused_count}
        log.info("intake.answered", extra={"way": Way.DROP, **counts})
        if answered.refused_count:
            sentence = f"{answered.refused_count} of {answered.answered_count} lines were refused."
            self._refusals.put(Way.DROP, message.body, Problem(422, "lines_refused", sentence))
        return None

    def _put_off_or_refuse(self, way: Way, message: Message, error: Exception) -> int | None:
        problem = problem_of(error) if isinstance(error, RuneError) else UNFORESEEN
        is_final = isinstance(error, RequestError) and not error.retryable
        if is_final or self._is_over(message):
            self._refuse(way, message, problem, self._find_drop(way, message))
            return None
        asked_seconds = error.retry_after_seconds if isinstance(error, TooManyWaitingJobsError) else 0
        about = {"way": way, "code": problem.code, "message_id": message.message_id}
        log.warning("intake.put_off", exc_info=error, extra=about)
        return patience.delay_seconds(message.receive_count, asked_seconds)

    def _is_over(self, message: Message) -> bool:
        age = self._clock.now() - message.first_received_at
        return patience.is_over(message.receive_count, age)

    def _find_drop(self, way: Way, message: Message) -> Drop | None:
        if way is not Way.DROP:
            return None
        try:
            return read_drop(envelopes.read_created_object(message.body, self._addresses.bucket))
        except RequestError:
            return None

    def _refuse(self, way: Way, message: Message, problem: Problem, drop: Drop | None = None) -> None:
        """Tell the sender where there is a way to, and keep the message; again from the start if either fails."""
        body = message.body
        if drop is not None:
            self._drops.end_with(drop, problem)
        if way is Way.WORKFLOW and (token := envelopes.find_task_token(body)) is not None:
            self._workflows.refuse(token, problem)
            # It is of no more use, and a secret until its task has ended.
            body = envelopes.without_task_token(body)
        self._refusals.put(way, body, problem)
        about = {"way": way, "code": problem.code, "message_id": message.message_id}
        log.warning("intake.refused", extra=about)

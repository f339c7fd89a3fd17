"""Puts a point's load on a server, and keeps a record of each request."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace

from rune.bench.anomalies import is_buffered, is_truncated
from rune.bench.arrivals import poisson_arrivals_s
from rune.bench.circuit_breaker import CircuitBreaker
from rune.bench.judging import score_answer
from rune.bench.loads import Ask, closed_load, open_load
from rune.bench.records import Point, RecordStatus, RequestRecord
from rune.bench.tasks import Task
from rune.bench.token_bounds import PROSE_BYTES_PER_TOKEN
from rune.bench.token_estimates import with_estimates
from rune.clock import SystemClock, to_epoch_ms
from rune.errors import CostCapReachedError, RuneError, ServerOverloadedError
from rune.llm.protocol import Generation, Message, ModelServer, Stamps

_NS_PER_SECOND = 1_000_000_000

MAX_CHUNKS = 2_000_000
"""Of a point, which ends with them as with its time: 64 streams of 100 chunks a second for five minutes.

Measured: a chunk takes 250 bytes while a run is folded, so that these are 500 MB, of a function with 1769.
"""

type OnProgress = Callable[[int, int], None]
"""Called with the requests ended and the chunks that have come so far; must return at once."""

type PutLoad = Callable[[Ask], Awaitable[None]]
"""Asks for requests until there is nothing left to ask, as the functions of `rune.bench.loads` do."""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """How one request ended, on `time.monotonic_ns`: what a `RequestRecord` is made of."""

    number: int
    due_ns: int
    sent_ns: int | None
    ended_ns: int
    status: RecordStatus
    error_code: str | None = None
    generation: Generation | None = None
    partial_arrivals_ns: tuple[int, ...] = ()
    ready_ns: int | None = None
    prompt_size: tuple[int, int] | None = None
    """Characters and bytes of a conversation so far; None for its first turn, and a prompt of one."""


@dataclass(slots=True)
class _Asked:
    """A request under way, on `time.monotonic_ns`."""

    number: int
    due_ns: int
    later_messages: tuple[Message, ...] | None = None
    """Of a turn after the first."""
    ready_ns: int | None = None
    sent_ns: int | None = None
    arrivals_ns: list[int] = field(default_factory=list)


class LoadRunner:
    """Measures a point once.

    While it runs, requests are sent and stamps are taken, and nothing else is done. Answers are scored afterwards.

    Parameters
    ----------
    request_timeout_seconds
        At least as long as the run, so that a request is broken off at its end and not before.
    max_chunks
        With so many chunks the run ends; None for `MAX_CHUNKS`.

    Attributes
    ----------
    started_at_ms
        Wall clock, milliseconds since 1970-01-01 UTC.
    first_errors
        As in `MeasuredPoint`.
    """

    def __init__(
        self,
        server: ModelServer,
        task: Task,
        point: Point,
        *,
        request_timeout_seconds: float,
        on_progress: OnProgress,
        max_chunks: int | None = None,
    ) -> None:
        self._server = server
        self._task = task
        self._point = point
        self._request_timeout_seconds = request_timeout_seconds
        self._on_progress = on_progress
        self._max_chunks = MAX_CHUNKS if max_chunks is None else max_chunks
        self._places = task.places()
        self._first_numbers = [number for number, place in enumerate(self._places) if place.turn == 0]
        self._send_lock = asyncio.Lock()
        self._breaker = CircuitBreaker()
        self._outcomes: list[RequestOutcome] = []
        self._chunk_count = 0
        self._under_way = 0
        self._is_over = False
        self._longest_ns = 0
        self._limit: asyncio.Timeout | None = None
        self._started_ns = 0
        self._deadline = 0.0
        self.started_at_ms = 0
        self.first_errors: dict[str, RuneError] = {}

    @property
    def is_full(self) -> bool:
        """Whether as many chunks have come as memory holds."""
        return self._chunk_count >= self._max_chunks

    async def run(self, deadline: float, put_load: PutLoad | None = None) -> None:
        """Put the point's load on the server until all is asked, or until `deadline` on the loop's clock.

        It also ends with `max_chunks`, and where the job's cap leaves no more for a request.

        Parameters
        ----------
        put_load
            Puts a share of the load instead of all of it.

        Raises
        ------
        Exception
            Any error that is no `RuneError` of a request.
        """
        count, point = len(self._first_numbers), self._point
        self._breaker.deadline = self._deadline = deadline
        self._started_ns, self.started_at_ms = time.monotonic_ns(), to_epoch_ms(SystemClock().now())
        try:
            async with asyncio.timeout_at(deadline) as self._limit:
                if put_load is not None:
                    await put_load(self._ask)
                elif point.request_rate_per_s is None:
                    await closed_load(self._ask, count, point.concurrency)
                else:
                    arrivals_s = poisson_arrivals_s(point.request_rate_per_s, count, self._task.seed)
                    await open_load(self._ask, arrivals_s, point.concurrency)
        except TimeoutError:
            pass  # what was under way has been noted as cut off
        finally:
            self._limit = None

    def end(self) -> None:
        """End the load now; what is under way is cut off."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    def take_outcomes(self) -> list[RequestOutcome]:
        """Return how the requests ended, in that order, and forget it; another runner may `adopt` it."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def adopt(
        self,
        outcomes: Iterable[RequestOutcome],
        *,
        started_ns: int,
        started_at_ms: int,
        first_errors: Mapping[str, RuneError],
    ) -> None:
        """Take what other runners have measured for this one, as if it had run itself.

        Parameters
        ----------
        started_ns
            When the load began, on `time.monotonic_ns`, which is the same clock in all processes of a machine.
        """
        self._outcomes += outcomes
        self._started_ns, self.started_at_ms = started_ns, started_at_ms
        self.first_errors = dict(first_errors)

    def suspects_truncation(self) -> bool:
        """Return whether the server counted so few tokens of a prompt that it may have dropped a part of it."""
        return any(
            is_truncated(
                outcome.generation.tokens.prompt_count,
                self._prompt_size(outcome)[1],
                PROSE_BYTES_PER_TOKEN,
            )
            for outcome in self._outcomes
            if outcome.generation is not None
        )

    async def records(self, bytes_per_token: float | None) -> tuple[RequestRecord, ...]:
        """Return what was measured, by number, and forget it; times count from the beginning of the run."""
        self._outcomes.sort(key=lambda outcome: outcome.number, reverse=True)
        self._estimate_tokens()
        records: list[RequestRecord] = []
        while self._outcomes:  # taken out, so that a long answer's arrivals are not in memory twice
            records.append(self._record(self._outcomes.pop(), bytes_per_token))
            # Judging thousands of answers takes seconds, in which others on this loop have work to do.
            await asyncio.sleep(0)
        return tuple(records)

    def _estimate_tokens(self) -> None:
        """Give answers that no server counted the tokens that they probably have."""
        answered = [each for each in self._outcomes if each.generation is not None]
        estimated = with_estimates([each.generation for each in answered if each.generation is not None])
        known = dict(zip((each.number for each in answered), estimated, strict=True))
        self._outcomes = [
            replace(each, generation=known.get(each.number, each.generation)) for each in self._outcomes
        ]

    async def _ask(self, number: int, due_ns: int, slots: asyncio.Semaphore | None = None) -> None:
        """Ask a prompt; a conversation turn by turn, in one slot, until one of its turns has no answer.

        Parameters
        ----------
        number
            Which of the times that a prompt is asked (`Task.order`).
        """
        first_number = self._first_numbers[number]
        prompt = self._task.prompts[self._places[first_number].prompt_index]
        async with AsyncExitStack() as slot:
            answer = await self._ask_turn(_Asked(first_number, due_ns), slots, slot)
            if isinstance(prompt, str):
                return
            opening = self._opening_messages(first_number)[0].content
            answers: list[str] = []
            for turn in range(1, self._places[first_number].turn_count):
                if answer is None:
                    return
                answers.append(answer.text)
                asked = _Asked(first_number + turn, time.monotonic_ns(), prompt.messages(opening, answers))
                answer = await self._ask_turn(asked, None, slot)

    async def _ask_turn(
        self, asked: _Asked, slots: asyncio.Semaphore | None, slot: AsyncExitStack
    ) -> Generation | None:
        """Send one request, and return its answer; None where it failed or was not sent.

        Parameters
        ----------
        slots
            To wait in before it is sent; None where it has its slot already.
        slot
            Takes the slot, to be given back when the whole conversation is over.
        """

        def count_chunk(_of_request: int) -> None:
            asked.arrivals_ns.append(time.monotonic_ns())
            self._count_chunk()

        try:
            if slots is not None:
                await slot.enter_async_context(slots)
            if not await self._wait_to_send() or self._is_over or self._is_for_the_next_block():
                return None
            messages = asked.later_messages or self._opening_messages(asked.number)
            request = self._task.chat(messages, self._request_timeout_seconds)
            asked.sent_ns = asked.ready_ns = time.monotonic_ns()
            self._under_way += 1
            try:
                answer = await self._server.chat(request, count_chunk)
            finally:
                self._under_way -= 1
            self._breaker.close()
            self._end(asked, "completed", generation=answer)
        except CostCapReachedError:
            # It was not sent, so it is in no number. Those under way are paid for, and end the point.
            self._is_over = True
            self._end_if_over()
        except RuneError as error:
            if isinstance(error, ServerOverloadedError):
                self._breaker.open(error.retry_after_seconds)
            # Without its frames, which would keep what they hold alive.
            self.first_errors.setdefault(error.code, error.with_traceback(None))
            self._end(asked, "failed", error_code=error.code)
        except asyncio.CancelledError:
            if asked.sent_ns is not None or not self._is_over:
                self._end(asked, "cut_off")
            raise
        else:
            return answer
        return None

    async def _wait_to_send(self) -> bool:
        """Return whether the request is to be sent, when it is its turn.

        Building a request takes a good part of a millisecond. Of many that become due together, one is sent in each
        turn of the loop, so that the loop stamps what has come between one and the next.
        """
        async with self._send_lock:
            await asyncio.sleep(0)
            return await self._breaker.wait()

    def _is_for_the_next_block(self) -> bool:
        """Return whether a request would probably be cut off, by the longest answer so far; then all that are left.

        Not of an open load: its requests go on becoming due, whatever the server does.
        """
        if self._task.block is None or self._point.request_rate_per_s is not None:
            return False
        left_seconds = self._deadline - asyncio.get_running_loop().time()
        self._is_over = self._longest_ns / _NS_PER_SECOND > left_seconds
        self._end_if_over()
        return self._is_over

    def _end(
        self,
        asked: _Asked,
        status: RecordStatus,
        *,
        error_code: str | None = None,
        generation: Generation | None = None,
    ) -> None:
        ended_ns, sent_ns = time.monotonic_ns(), asked.sent_ns
        if generation is not None and sent_ns is not None:
            # The connection's own stamps are nearer to the truth than those around the call. Not so where the
            # server is simulated, with a clock of its own.
            stamps, began_ns = generation.stamps, sent_ns
            sent_ns = stamps.sent_ns if began_ns <= stamps.sent_ns <= ended_ns else sent_ns
            ended_ns = stamps.ended_ns if began_ns <= stamps.ended_ns <= ended_ns else ended_ns
            self._longest_ns = max(self._longest_ns, ended_ns - sent_ns)
        self._outcomes.append(
            RequestOutcome(
                asked.number,
                asked.due_ns,
                sent_ns,
                ended_ns,
                status,
                error_code,
                generation,
                # What came of a request that is cut off was made by the server, and counts as throughput.
                tuple(asked.arrivals_ns) if status == "cut_off" else (),
                asked.ready_ns,
                None if asked.later_messages is None else _size_of(asked.later_messages),
            )
        )
        self._on_progress(len(self._outcomes), self._chunk_count)
        self._end_if_over()

    def _end_if_over(self) -> None:
        """End the load once the job's cap has refused a request and no other is under way."""
        if self._is_over and not self._under_way:
            self.end()

    def _count_chunk(self) -> None:
        self._chunk_count += 1
        if self._chunk_count == self._max_chunks:
            self.end()
        self._on_progress(len(self._outcomes), self._chunk_count)

    def _opening_messages(self, number: int) -> tuple[Message, ...]:
        prompt_index, number = self._places[number].prompt_index, self._task.first_number + number
        return self._task.opening_messages(prompt_index, self._point.index, number)

    def _prompt_size(self, outcome: RequestOutcome) -> tuple[int, int]:
        """Return the characters and bytes of what a request asked."""
        return outcome.prompt_size or _size_of(self._opening_messages(outcome.number))

    def _conversation(self, number: int) -> int | None:
        """Return the number of the first request of a request's conversation; None for a prompt of one turn."""
        place = self._places[number]
        if isinstance(self._task.prompts[place.prompt_index], str):
            return None
        return self._task.first_number + number - place.turn

    def _record(self, outcome: RequestOutcome, bytes_per_token: float | None) -> RequestRecord:
        (prompt_chars, prompt_bytes), started_ns = self._prompt_size(outcome), self._started_ns
        place = self._places[outcome.number]
        record = RequestRecord(
            number=self._task.first_number + outcome.number,
            prompt_index=place.prompt_index,
            due_ns=outcome.due_ns - started_ns,
            sent_ns=None if outcome.sent_ns is None else outcome.sent_ns - started_ns,
            ended_ns=outcome.ended_ns - started_ns,
            status=outcome.status,
            prompt_chars=prompt_chars,
            error_code=outcome.error_code,
            ready_ns=None if outcome.ready_ns is None else outcome.ready_ns - started_ns,
            partial_arrivals_ns=tuple(at_ns - started_ns for at_ns in outcome.partial_arrivals_ns),
            conversation=self._conversation(outcome.number),
            turn=place.turn,
            turns_left=place.turn_count - 1 - place.turn,
        )
        answer = outcome.generation
        if answer is None:
            return record
        # A conversation is judged by its end.
        expected = self._task.expected if place.is_last else None
        return replace(
            record,
            generation=_since(answer, started_ns),
            is_buffered=is_buffered(answer.chunk_arrivals_ns, answer.tokens.output_count),
            is_truncated=is_truncated(answer.tokens.prompt_count, prompt_bytes, bytes_per_token),
            score=score_answer(expected, answer.text) if expected and expected.method != "judge" else None,
        )


@contextmanager
def gc_paused() -> Iterator[None]:
    """Keep Python's collector of circular garbage from stopping the loop while the block runs.

    What lives before is frozen, so that the collection after the block does not go through it.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _size_of(messages: tuple[Message, ...]) -> tuple[int, int]:
    texts = [message.content for message in messages]
    return sum(map(len, texts)), sum(len(text.encode()) for text in texts)


def _since(answer: Generation, started_ns: int) -> Generation:
    """Return an answer of which all stamps count from the beginning of the run."""
    stamps = answer.stamps

    def since(stamp_ns: int | None) -> int | None:
        return None if stamp_ns is None else stamp_ns - started_ns

    return replace(
        answer,
        stamps=Stamps(
            sent_ns=stamps.sent_ns - started_ns,
            headers_ns=stamps.headers_ns - started_ns,
            first_chunk_ns=stamps.first_chunk_ns - started_ns,
            first_content_ns=since(stamps.first_content_ns),
            first_visible_ns=since(stamps.first_visible_ns),
            last_content_ns=since(stamps.last_content_ns),
            ended_ns=stamps.ended_ns - started_ns,
        ),
        chunk_arrivals_ns=tuple(arrival_ns - started_ns for arrival_ns in answer.chunk_arrivals_ns),
    )

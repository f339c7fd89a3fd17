"""Measuring one point of a workload."""

import asyncio
from dataclasses import dataclass

from rune.bench.load_runner import LoadRunner, OnProgress, gc_paused
from rune.bench.loop_lag import watching_loop_lag
from rune.bench.metrics_watch import MetricsWatch
from rune.bench.processor_use import ProcessorUse
from rune.bench.prompts import LEARNING_WORDS, learning_prompts
from rune.bench.records import MeasuredPoint, Point
from rune.bench.server_load import ServerReading
from rune.bench.tasks import Task
from rune.bench.token_bounds import most_tokens
from rune.bench.turns import texts_of
from rune.bench.warm_up import WarmUpStats, median_round_trip_ms, open_connections, warm_up
from rune.errors import RuneError
from rune.llm.protocol import ModelServer

_LEARN_TIMEOUT_SECONDS = 120.0
_ASIDE_RATIO = 0.1
_SAMPLE_CHARS = 1000

# A common English word is one token, two in a small vocabulary, and its characters where there are none but those.
_LEAST_TOKENS_PER_WORD, _MOST_TOKENS_PER_WORD = 0.5, 16.0


async def measure_point(
    server: ModelServer, task: Task, point: Point, *, time_limit_seconds: float, on_progress: OnProgress
) -> MeasuredPoint:
    """Return one point, measured.

    First come a few round trips, the warm-up, and a connection for each request that may be under way; they are in
    none of the numbers. Afterwards, where the server seems to have dropped parts of prompts, a part of one is asked
    again for one token, to learn how many bytes a token has. A request that the server fails becomes a record with
    its error's code. What is under way when the time is over is broken off, as is everything when the caller is
    cancelled: its connections are closed, so that the server stops too.

    Parameters
    ----------
    time_limit_seconds
        For everything together, of which the warm-up gets at most one half, and round trips and connections a tenth
        each: a server that is silent then must not take the time of what is measured, nor of the turn.
    on_progress
        About measured requests only.

    Raises
    ------
    Exception
        Any error that is no `RuneError` of a request. It is a defect, and no part of a measurement.
    """
    deadline = asyncio.get_running_loop().time() + time_limit_seconds
    runner = LoadRunner(
        server, task, point, request_timeout_seconds=time_limit_seconds, on_progress=on_progress
    )
    aside = aside_seconds(time_limit_seconds)
    rtt_ms = await median_round_trip_ms(server, time_limit_seconds=aside)
    warm_up_stats = await warm_up(server, task, point, time_limit_seconds=time_limit_seconds / 2)
    watch = MetricsWatch(server, task.model, time_limit_seconds=aside)
    await watch.read("before")
    # One more, for the readings of the server's metrics.
    await open_connections(server, point.concurrency + 1, time_limit_seconds=aside)
    with gc_paused():
        async with watch.watching(), watching_loop_lag() as lag:
            use = ProcessorUse()
            await runner.run(deadline)
            processor_ratio = use.ratio()
    figures = ClientFigures(
        rtt_ms, warm_up_stats, lag.p99_ms, processor_ratio, server_readings=tuple(watch.readings)
    )
    return await conclude_point(server, task, point, runner, deadline=deadline, figures=figures)


def aside_seconds(time_limit_seconds: float) -> float:
    """Return how much of a point's time round trips and connections may take each."""
    return _ASIDE_RATIO * time_limit_seconds


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """What is known of RUNE's own side of a measurement; see `MeasuredPoint`."""

    rtt_ms: float | None
    warm_up: WarmUpStats
    loop_lag_p99_ms: float | None
    processor_ratio: float | None
    process_count: int = 1
    server_readings: tuple[ServerReading, ...] = ()


async def conclude_point(
    server: ModelServer,
    task: Task,
    point: Point,
    runner: LoadRunner,
    *,
    deadline: float,
    figures: ClientFigures,
) -> MeasuredPoint:
    """Return a point whose load is over, with what has to be learnt of the server for it.

    Parameters
    ----------
    deadline
        Of the point, on the loop's clock.
    """
    bytes_per_token, learning_tokens = None, 0
    if runner.suspects_truncation():
        left_seconds = deadline - asyncio.get_running_loop().time()
        bytes_per_token, learning_tokens = await _learn_bytes_per_token(server, task, point, left_seconds)
    records = await runner.records(bytes_per_token)
    return MeasuredPoint(
        point=point,
        started_at_ms=runner.started_at_ms,
        records=records,
        warmup_count=figures.warm_up.request_count,
        warmup_output_tokens=figures.warm_up.output_tokens + learning_tokens,
        rtt_ms=figures.rtt_ms,
        loop_lag_p99_ms=figures.loop_lag_p99_ms,
        # What would have followed a turn that failed was not to be sent.
        unsent_count=task.request_count
        - len(records)
        - sum(record.turns_left for record in records if record.status == "failed"),
        first_errors=runner.first_errors,
        processor_ratio=figures.processor_ratio,
        process_count=figures.process_count,
        server_readings=figures.server_readings,
    )


async def _learn_bytes_per_token(
    server: ModelServer, task: Task, point: Point, time_limit_seconds: float
) -> tuple[float | None, int]:
    """Return how many bytes of the longest prompt a token has, and the output tokens that it took to learn that.

    From the prompt's first 1000 characters, which the server is not likely to cut. None where it does not count
    the tokens of prompts, or there is no time.
    """
    sample = task.sample(max(texts_of(task.prompts), key=most_tokens)[:_SAMPLE_CHARS], point.index, 0)
    if time_limit_seconds <= 0:
        return None, 0
    try:
        async with asyncio.timeout(time_limit_seconds):
            answer = await server.chat(task.tiny_chat(sample, time_limit_seconds), lambda _: None)
    except (RuneError, TimeoutError):
        return None, 0
    count = answer.tokens.prompt_count
    return (len(sample.encode()) / count if count else None), answer.tokens.output_count


async def learn_tokens_per_word(server: ModelServer, task: Task) -> float | None:
    """Return how many of the model's tokens a word of `synthetic_words` takes; None where the server counts none.

    From two prompts of different length, so that what the server puts around a prompt does not count. The task's
    own prompts are not looked at. None also for a number that no tokenizer gives: prompts are made by it, and those
    for a server that drops or caches most of its own would have no end.

    Raises
    ------
    ModelServerError, AddressError
        As `ModelServer.chat`.
    """
    counts: list[int] = []
    for number, words in enumerate(learning_prompts(task.seed)):
        prompt = task.sample(words, 0, 1 + number)
        answer = await server.chat(task.tiny_chat(prompt, _LEARN_TIMEOUT_SECONDS), lambda _: None)
        if answer.tokens.prompt_count is None:
            return None
        counts.append(answer.tokens.prompt_count)
    (few, many), (few_words, many_words) = counts, LEARNING_WORDS
    ratio = (many - few) / (many_words - few_words)
    return ratio if _LEAST_TOKENS_PER_WORD <= ratio <= _MOST_TOKENS_PER_WORD else None

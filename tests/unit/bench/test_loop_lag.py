import asyncio
import time

from rune.bench.loop_lag import LoopLag, watching_loop_lag


async def watch(busy_seconds: float) -> LoopLag:
    async with watching_loop_lag() as lag:
        for _ in range(6):
            time.sleep(busy_seconds)  # noqa: ASYNC251 the loop is busy: that is the case
            await asyncio.sleep(0.1)
    return lag


def test_lag_is_how_long_others_kept_the_loop_busy() -> None:
    p99_ms = asyncio.run(watch(0.03)).p99_ms

    assert p99_ms is not None
    assert 20 < p99_ms < 500


def test_lag_counts_a_long_standstill_by_its_length_and_not_as_one_sample() -> None:
    async def go() -> LoopLag:
        async with watching_loop_lag() as lag:
            await asyncio.sleep(0.6)
            time.sleep(0.2)  # noqa: ASYNC251 as above
            await asyncio.sleep(0.02)
        return lag

    p99_ms = asyncio.run(go()).p99_ms

    assert p99_ms is not None
    assert p99_ms > 150


def test_lag_is_unknown_when_it_was_watched_for_too_short() -> None:
    async def go() -> LoopLag:
        async with watching_loop_lag() as lag:
            await asyncio.sleep(0.1)
        return lag

    assert asyncio.run(go()).p99_ms is None


def test_watching_ends_with_its_block() -> None:
    async def go() -> int:
        async with watching_loop_lag():
            await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(go()) == 1

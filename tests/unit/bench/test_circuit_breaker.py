import asyncio

import pytest

from rune.bench.circuit_breaker import CircuitBreaker


async def passed_seconds(breaker: CircuitBreaker) -> float:
    """Return how long the breaker keeps a request, on the loop's clock."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await breaker.wait()
    return loop.time() - began


@pytest.mark.parametrize(
    ("refusals", "least", "most"), [(0, 0, 0.1), (2, 0, 0.1), (3, 0.2, 0.4), (4, 0.45, 0.8)]
)
def test_refusals_in_a_row_are_followed_by_longer_pauses(refusals: int, least: float, most: float) -> None:
    async def go() -> float:
        breaker = CircuitBreaker()
        for _ in range(refusals):
            breaker.open(None)
        return await passed_seconds(breaker)

    assert least <= asyncio.run(go()) < most


def test_answer_ends_the_row() -> None:
    async def go() -> float:
        breaker = CircuitBreaker()
        for _ in range(2):
            breaker.open(None)
        breaker.close()
        breaker.open(None)
        return await passed_seconds(breaker)

    assert asyncio.run(go()) < 0.1


def test_server_is_left_alone_for_as_long_as_it_asks() -> None:
    async def go() -> float:
        breaker = CircuitBreaker()
        breaker.open(0.3)
        return await passed_seconds(breaker)

    assert asyncio.run(go()) >= 0.29


def test_request_is_not_sent_when_the_server_wants_to_be_asked_after_the_end() -> None:
    async def go() -> bool:
        breaker = CircuitBreaker()
        breaker.deadline = asyncio.get_running_loop().time() + 10
        breaker.open(60)
        return await breaker.wait()

    assert not asyncio.run(go())

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cloud import Cloud


def test_limiter_answers_exactly_ten_times_before_the_block_when_20_threads_fail(cloud: Cloud) -> None:
    from tests.functional.aws.storm import as_table, measure  # noqa: PLC0415  # loads moto

    storms = measure(cloud)

    print(as_table(storms))  # noqa: T201  # shown by `pytest -rP`
    assert [(storm.wrong_token, storm.blocked, storm.writes, storm.reads) for storm in storms] == [
        (10, 90, 10, 0)
    ] * 4
    in_turn, spread, at_once, _threads = storms
    assert in_turn.refused_writes == 0
    # The first two environments fill the window; each of the others learns of the rest by one refusal.
    assert spread.refused_writes == 19
    # Each of the 20 loses at most once to each of the ten writes; then its memory knows of the block.
    assert at_once.refused_writes <= 200

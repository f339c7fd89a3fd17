from __future__ import annotations

import os
from pathlib import Path

import pytest

from rune.bench.number_queue import NumberQueue


def test_queue_gives_each_number_once_and_in_order_to_all_who_take() -> None:
    queue = NumberQueue.filled(6)
    another = NumberQueue(os.dup(queue.reading_end))

    taken = [next(queue), next(another), next(another), next(queue)]

    assert (taken, list(another), list(queue)) == ([0, 1, 2, 3], [4, 5], [])
    queue.close()
    another.close()


def test_queue_holds_all_requests_that_a_job_may_have() -> None:
    queue = NumberQueue.filled(10_000)

    assert list(queue) == list(range(10_000))
    queue.close()


def test_queue_refuses_more_than_its_pipe_holds() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(BlockingIOError):
        NumberQueue.filled(20_000)

    assert len(list(Path("/proc/self/fd").iterdir())) == before

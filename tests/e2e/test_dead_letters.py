from collections.abc import Iterator

import pytest

from tests.e2e.queues import LANES, Queues


@pytest.fixture
def dead_letters(queues: Queues) -> Iterator[Queues]:
    assert queues.bodies()["dead_letter"] == []
    yield queues
    queues.purge("dead_letter")
    queues.wait_for_dead_letters()


@pytest.mark.parametrize("lane", LANES)
def test_message_that_nobody_can_read_lands_in_the_dead_letter_queue_alone(
    dead_letters: Queues, lane: str
) -> None:
    body = f"not a step of a job, sent to {lane}"

    dead_letters.send(lane, body)

    dead_letters.wait_for_dead_letters(body)
    assert dead_letters.mentioning(body) == {"dead_letter": [body]}


def test_message_of_a_job_that_does_not_exist_is_dropped(dead_letters: Queues) -> None:
    body = '{"job_id": "00000000000000000000000000000000", "seq": 1}'

    dead_letters.send("control", body)

    dead_letters.wait_until_empty(body)
    assert dead_letters.bodies()["dead_letter"] == []

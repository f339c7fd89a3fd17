import pytest

from tests.e2e.queues import LANES, UNREADABLE, Queues


@pytest.mark.parametrize("lane", LANES)
def test_message_that_nobody_can_read_lands_in_the_dead_letter_queue_alone(queues: Queues, lane: str) -> None:
    body = f"{UNREADABLE}, sent to {lane}"

    queues.send(lane, body)

    queues.wait_for_dead_letter(body)
    assert queues.mentioning(body) == {"dead_letter": [body]}


def test_message_of_a_job_that_does_not_exist_is_dropped(queues: Queues) -> None:
    job_id = "00000000000000000000000000000000"

    queues.send("money", f'{{"job_id": "{job_id}", "seq": 1}}')

    queues.wait_until_empty(job_id)
    assert queues.wrongly_dead() == []

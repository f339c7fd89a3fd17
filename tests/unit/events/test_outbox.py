from datetime import timedelta

import pytest

from rune.events.outbox import OutboxState, advance, lowest, send_again
from rune.storage.change import apply
from tests.builders import NOW, after

EXPIRES_AT = after(86_400)


def test_retries_come_later_after_each_failure_in_a_row_up_to_an_hour() -> None:
    state, pauses = OutboxState(), []
    for _ in range(14):
        state = apply(advance(state, {}, NOW, has_failed=True, expires_at=EXPIRES_AT), state)
        assert state.due_at is not None
        pauses.append(state.due_at - NOW)

    assert pauses[:4] == [timedelta(seconds=seconds) for seconds in (5, 10, 20, 40)]
    assert pauses[-2:] == [timedelta(hours=1)] * 2


def test_success_forgets_earlier_failures() -> None:
    state = OutboxState({"bus": 1}, due_at=NOW, failures=9, dispatches=3, expires_at=EXPIRES_AT)

    done = apply(advance(state, {"bus": 4}, NOW, has_failed=False, expires_at=after(1)), state)

    assert done == OutboxState({"bus": 4}, version=1, updated_at=NOW, expires_at=EXPIRES_AT)


def test_notices_that_are_sent_again_come_later_each_time_up_to_a_quarter_of_an_hour() -> None:
    state, pauses = OutboxState(due_at=NOW), []
    for _ in range(6):
        state = apply(send_again(state, NOW), state)
        assert state.due_at is not None
        pauses.append(state.due_at - NOW)

    assert pauses == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 15, 15)]


@pytest.mark.parametrize(
    ("pointers", "sinks", "expected"),
    [
        ({}, ("bus",), 0),
        ({"bus": 4}, ("bus",), 4),
        ({"bus": 4}, ("bus", "archive"), 4),
        ({"bus": 4, "webhooks": 3}, ("bus", "archive"), 3),
        ({"bus": 4, "archive": 2}, ("bus", "archive"), 2),
        ({"bus": 4, "gone": 1}, ("bus",), 4),
        ({"bus": 4}, (), 0),
    ],
)
def test_lowest_pointer_is_of_the_sinks_that_are_there(
    pointers: dict[str, int], sinks: tuple[str, ...], expected: int
) -> None:
    assert lowest(OutboxState(pointers), sinks) == expected

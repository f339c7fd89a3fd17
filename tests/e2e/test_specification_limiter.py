"""The RUNE API specification, continued: one test for each statement about failed authentications."""

from __future__ import annotations

import time

from tests.e2e.blocked import ANY_PATH, WINDOW_SECONDS, Answer, BlockedAddress


def test_spec_ten_failed_attempts_are_counted_for_one_source_ip(blocked: BlockedAddress) -> None:
    """Rate Limiting: Accumulating 10 failed authentication attempts from a single source IP …"""
    assert blocked.count("unauthorized") == 10


def test_spec_window_of_failed_attempts_is_60_seconds_and_rolls(blocked: BlockedAddress) -> None:
    """… within a 60-second rolling window …"""
    assert WINDOW_SECONDS == 60
    # The block ends when the oldest of the ten leaves the window, not when a minute of the clock is over.
    assert int(blocked.row["blocked_until"]["N"]) == blocked.first_instant_ms + 60_000


def test_spec_too_many_failed_attempts_are_answered_401(blocked: BlockedAddress) -> None:
    """… will result in a … block (HTTP 401)."""
    refused = [answer for answer in blocked.answers if answer.error == "rate limit exceeded"]

    assert {(answer.status, answer.code) for answer in refused} == {(401, "rate_limit_exceeded")}


def test_spec_block_is_temporary(blocked: BlockedAddress) -> None:
    """… a temporary block."""
    # Begun long ago where the whole suite runs.
    time.sleep(max(0.0, blocked.ends_at - time.monotonic()) + 1.0)

    with blocked.client() as caller:
        answer = caller.http.get(ANY_PATH)

    assert answer.status_code == 200
    with blocked.client("a-wrong-token-after-the-block-that-opens-nothing") as stranger:
        assert Answer.of(stranger.http.get(ANY_PATH)).code == "unauthorized"

import pytest

from rune.errors import (
    ModelNotFoundError,
    OutOfMemoryError,
    RuneError,
    ServerOverloadedError,
    StreamTruncatedError,
)
from rune.jobs.outcomes import Failed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelNotFoundError("None."), Failed("model_not_found", "None.", retryable=False)),
        (OutOfMemoryError("Full."), Failed("out_of_memory", "Full.", retryable=False)),
        (StreamTruncatedError("Cut."), Failed("stream_truncated", "Cut.", retryable=True)),
        (ServerOverloadedError("Busy."), Failed("server_overloaded", "Busy.", retryable=True)),
        (
            ServerOverloadedError("Busy.", retry_after_seconds=30),
            Failed("server_overloaded", "Busy.", retryable=True, retry_after_seconds=30),
        ),
        (RuneError("Odd."), Failed("internal_error", "Odd.", retryable=False)),
    ],
)
def test_failed_carries_what_the_error_says(error: RuneError, expected: Failed) -> None:
    assert Failed.from_error(error) == expected

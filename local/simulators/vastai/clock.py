"""The clock of the local stack: real time plus what was skipped."""

from datetime import UTC, datetime
from typing import override

from local.simulators.timing import RealTimeline


class SkippingClock(RealTimeline):
    """Real time plus an offset, for contracts and for the servers on rented machines.

    Attributes
    ----------
    skipped_seconds
        The offset.
    """

    def __init__(self) -> None:
        self.skipped_seconds = 0.0

    def skip(self, seconds: float) -> None:
        """Add to the offset.

        Raises
        ------
        ValueError
            The seconds are negative.
        """
        if seconds < 0:
            raise ValueError("a clock only goes ahead")
        self.skipped_seconds += seconds

    def epoch_seconds(self) -> float:
        """Return the present instant as epoch seconds."""
        return super().now().timestamp() + self.skipped_seconds

    @override
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.epoch_seconds(), UTC)

    @override
    def monotonic_seconds(self) -> float:
        return super().monotonic_seconds() + self.skipped_seconds

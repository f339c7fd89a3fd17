"""The clock of the local stack: real time, and as much more as somebody has skipped."""

from datetime import UTC, datetime

from local.simulators.timing import RealTimeline


class SkippingClock(RealTimeline):
    """Real time plus an offset, for contracts and for the servers on rented machines alike.

    Attributes
    ----------
    skipped_seconds
        How far it is ahead.
    """

    def __init__(self) -> None:
        self.skipped_seconds = 0.0

    def skip(self, seconds: float) -> None:
        """Go ahead.

        Raises
        ------
        ValueError
            The seconds are negative: contracts have no way back.
        """
        if seconds < 0:
            raise ValueError("a clock only goes ahead")
        self.skipped_seconds += seconds

    def epoch_seconds(self) -> float:
        """Return the present instant as epoch seconds."""
        return super().now().timestamp() + self.skipped_seconds

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.fromtimestamp(self.epoch_seconds(), UTC)

    def monotonic_seconds(self) -> float:
        """Return seconds of the machine's monotonic clock, and what was skipped."""
        return super().monotonic_seconds() + self.skipped_seconds

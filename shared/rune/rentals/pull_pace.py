"""Whether a download is so slow that another machine costs less. Plain functions over plain data."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.rentals.record import Alternative, Prices

WINDOW = timedelta(seconds=45)
"""Over which a download's speed is measured; the first begins when the first bytes have come."""

SLOW_WINDOWS = 2
"""So many in a row before a machine is given up: 90 s, as long as a download may stand still."""

LATE_WINDOWS = 4
"""So many in a row in which a download would miss the job's deadline, and the job ends where no other machine could
make it. Twice as many as above, because a speed may recover, and there is nothing else to try."""

LATE_FACTOR = 1.25
"""So many times the time that is left must a download still take to count as one that misses the deadline."""

LEAVING_FACTOR = 2
"""So many times dearer must it be to stay: what has come is lost, and the other machine may be slow too."""

OTHER_MACHINE = timedelta(minutes=3)
"""From giving a machine up to the next one's first byte: the proof that it is gone, search, order and boot. An
estimate; boots are seen to take 1 to 5 minutes, the image included."""

_BITS_PER_BYTE = 8
_BITS_PER_MBIT = 1_000_000
_BYTES_PER_GB = 1_000_000_000
_HOUR = timedelta(hours=1)
_SLOWEST_MBIT_PER_SECOND = 0.001
_TOLD = re.compile(r"The model came with ([0-9]+(?:\.[0-9]+)?) Mbit/s")


@dataclass(frozen=True, slots=True)
class Download:
    """A download under way.

    Attributes
    ----------
    total_bytes
        Of the model, as far as it is known.
    mbit_per_second
        How fast it comes.
    """

    completed_bytes: int
    total_bytes: int
    mbit_per_second: float

    @property
    def left(self) -> timedelta:
        """How long it will still take at this speed."""
        return _time_for(self.total_bytes - self.completed_bytes, self.mbit_per_second)


def is_worth_leaving(
    download: Download, prices: Prices, other: Alternative, image_bytes: int, time_left: timedelta
) -> bool:
    """Return whether the job is expected to cost less on another machine, which downloads everything anew.

    Parameters
    ----------
    image_bytes
        What a machine downloads before it runs.
    time_left
        Until the job's deadline; a machine that could not make it either is no reason to leave.
    """
    other_time = OTHER_MACHINE + _time_for(image_bytes + download.total_bytes, other.mbit_per_second)
    if other_time >= time_left:
        return False
    if download.left >= time_left:
        return True
    traffic_gb = (image_bytes + download.total_bytes) / _BYTES_PER_GB
    other_usd = other.micro_usd_per_hour * (other_time / _HOUR) + other.download_micro_usd_per_gb * traffic_gb
    return prices.micro_usd_per_hour * (download.left / _HOUR) > LEAVING_FACTOR * other_usd


def is_late(download: Download, time_left: timedelta) -> bool:
    """Return whether the download misses the job's deadline, also if it becomes somewhat faster."""
    return download.left > LATE_FACTOR * time_left


class PullWatch:
    """Measures a download's speed, window by window."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._since_bytes = 0

    def look(self, completed_bytes: int, now: datetime) -> float | None:
        """Return the speed of a window that has ended, in Mbit/s; None within a window.

        What the machine had before is told with the first progress, and counts for no window.
        """
        if not completed_bytes:
            return None
        if self._since is None:
            self._since, self._since_bytes = now, completed_bytes
            return None
        took = now - self._since
        if took < WINDOW:
            return None
        came_bytes = max(0, completed_bytes - self._since_bytes)
        self._since, self._since_bytes = now, completed_bytes
        mbit = came_bytes * _BITS_PER_BYTE / _BITS_PER_MBIT / took.total_seconds()
        return max(mbit, _SLOWEST_MBIT_PER_SECOND)


def tell_speed(download: Download) -> str:
    """Return the sentence with which a machine is given up; `read_speed` reads it back."""
    minutes = min(download.left, timedelta(days=365)) / timedelta(minutes=1)
    speed = f"{download.mbit_per_second:.1f} Mbit/s"
    return f"The model came with {speed}, and would have taken {minutes:.0f} min more."


def read_speed(detail: str | None) -> float | None:
    """Return the speed in Mbit/s that the sentence tells; None where it is another sentence."""
    told = _TOLD.match(detail or "")
    return None if told is None else float(told[1])


def _time_for(count_bytes: int, mbit_per_second: float) -> timedelta:
    bits = max(0, count_bytes) * _BITS_PER_BYTE
    return timedelta(seconds=bits / _BITS_PER_MBIT / max(mbit_per_second, _SLOWEST_MBIT_PER_SECOND))

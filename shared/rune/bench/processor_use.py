"""How much of its processor the measuring process itself takes."""

import time

_LEAST_NS = 500_000_000


class ProcessorUse:
    """Counts from its making; see `ratio`."""

    def __init__(self) -> None:
        self._began_ns, self._began_cpu_ns = time.monotonic_ns(), time.process_time_ns()

    def ratio(self) -> float | None:
        """Return the processor time since the beginning, as a ratio of the time: 1 is one whole processor.

        None below half a second, which tells nothing.
        """
        took_ns = time.monotonic_ns() - self._began_ns
        if took_ns < _LEAST_NS:
            return None
        return (time.process_time_ns() - self._began_cpu_ns) / took_ns

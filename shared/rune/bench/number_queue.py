"""The numbers of a load's requests, each of which one of several processes takes."""

import fcntl
import os
from collections.abc import Iterator
from typing import Self

_BYTES = 4
_PIPE_BYTES = 65_536


class NumberQueue(Iterator[int]):
    """A pipe with numbers in it, which any process that has its reading end may take.

    Lambda has no shared memory, and asking a parent for each number would take a free slot a way through two event
    loops. A pipe's kernel side is a queue already: a read takes the next four bytes under the pipe's own lock, in a
    microsecond, and nobody waits, since all numbers are there before anybody reads.

    Attributes
    ----------
    reading_end
        Descriptor to be inherited.
    """

    def __init__(self, reading_end: int) -> None:
        self.reading_end = reading_end

    @classmethod
    def filled(cls, count: int) -> Self:
        """Return a queue of the numbers from 0; close it with `close`.

        Raises
        ------
        BlockingIOError
            The numbers are more than a pipe holds, 16,384.
        """
        numbers = b"".join(number.to_bytes(_BYTES) for number in range(count))
        reading_end, writing_end = os.pipe()
        try:
            fcntl.fcntl(writing_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            os.set_blocking(writing_end, False)
            written = os.write(writing_end, numbers)
        except BaseException:
            os.close(reading_end)
            raise
        finally:
            os.close(writing_end)
        if written < len(numbers):
            os.close(reading_end)
            raise BlockingIOError("A pipe does not hold so many numbers.")
        return cls(reading_end)

    def __next__(self) -> int:
        """Take the lowest number that is left."""
        taken = os.read(self.reading_end, _BYTES)
        if not taken:
            raise StopIteration
        return int.from_bytes(taken)

    def close(self) -> None:
        """Close this process's own descriptor."""
        os.close(self.reading_end)

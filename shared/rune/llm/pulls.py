"""Reading Ollama's progress while it downloads a model (api.md, "Pull a Model").

A download stops when the last request for it is closed. What has arrived stays on disk, and the next request
continues from there, so that a pull may be cut into slices without losing anything.
"""

import time
from collections.abc import Callable, Mapping

from pydantic import SecretStr

from rune.errors import BadResponseError, PullStalledError, StreamTruncatedError
from rune.llm.fields import read_count, read_text
from rune.llm.framing import Frame
from rune.llm.protocol import OnPull, PullProgress
from rune.llm.replies import parse_frame

_SUCCESS = "success"
_PHASES = (
    "pulling manifest",
    "verifying sha256 digest",
    "writing manifest",
    "removing unused layers",
    _SUCCESS,
)
"""Statuses that count as progress when they begin. Others do not: a server could invent new ones for ever."""

MAX_LAYERS = 1024
"""Of one model; real ones have fewer than ten, or one for each file of a large one."""


class PullStream:
    """Adds up the layers of one pull, and notices when no more bytes arrive.

    The server continues to report while its download is stalled, so only growing bytes show progress. Verifying a
    large layer transfers none for minutes, and counts as progress when it begins.

    Parameters
    ----------
    stall_seconds
        Longest time in which no byte arrives.
    now_seconds
        Monotonic clock.
    api_key
        The key that was sent to the server: no error repeats it.
    """

    def __init__(
        self,
        model: str,
        stall_seconds: float,
        on_progress: OnPull,
        now_seconds: Callable[[], float] = time.monotonic,
        *,
        api_key: SecretStr | None = None,
    ) -> None:
        self._model = model
        self._api_key = api_key
        self._stall_seconds = stall_seconds
        self._on_progress = on_progress
        self._now_seconds = now_seconds
        self._layers: dict[str, tuple[int, int]] = {}
        self._phases_left = set(_PHASES)
        self._most_bytes = -1
        self._moved_at = now_seconds()
        self.is_complete = False

    def take(self, frame: Frame) -> bool:
        """Take a frame; return whether it was the last.

        Raises
        ------
        PullStalledError
            No byte came for too long.
        ModelServerError
            The frame is an error; an unknown model is reported so, inside a 200.
        """
        members = parse_frame(frame, model=self._model, api_key=self._api_key)
        status = read_text(members, "status")
        self._add_layer(members)
        progress = self.progress
        if progress.completed_bytes > self._most_bytes or status in self._phases_left:
            self._most_bytes = max(self._most_bytes, progress.completed_bytes)
            self._moved_at = self._now_seconds()
        elif self._now_seconds() - self._moved_at > self._stall_seconds:
            standing = f"{self._stall_seconds:g} seconds at {progress.completed_bytes:,} bytes"
            raise PullStalledError(f"The download stood still for {standing}.")
        self._phases_left.discard(status)
        self._on_progress(progress)
        self.is_complete = status == _SUCCESS
        return self.is_complete

    @property
    def progress(self) -> PullProgress:
        """What has arrived so far; the total grows while layers are still to be named."""
        return PullProgress(
            completed_bytes=sum(completed for completed, _ in self._layers.values()),
            total_bytes=sum(total for _, total in self._layers.values()),
        )

    def require_complete(self) -> None:
        """Return if the last frame reported success, which a status of 200 does not imply.

        Raises
        ------
        StreamTruncatedError
            It did not.
        """
        if not self.is_complete:
            raise StreamTruncatedError("The download ended without its end marker.")

    def _add_layer(self, members: Mapping[str, object]) -> None:
        digest = read_text(members, "digest")
        if digest:
            total = read_count(members, "total") or 0
            if digest not in self._layers and len(self._layers) == MAX_LAYERS:
                raise BadResponseError(f"The model has more than {MAX_LAYERS} layers.")
            self._layers[digest] = (min(read_count(members, "completed") or 0, total), total)

"""Models on disk: the list, their blobs, and pulls."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.simulators.errors import ServiceError
from local.simulators.ollama.errors import not_found
from local.simulators.ollama.models import Json, Layer, ModelCard
from local.simulators.ollama.names import ModelName, parse_name
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.timing import Timeline

SHORT_DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One entry of the list."""

    name: ModelName
    card: ModelCard
    modified_at: datetime


@dataclass(slots=True)
class _Blob:
    """A blob on disk, whole or in part; it grows only while a pull watches it."""

    layer: Layer
    completed_bytes: float = 0.0
    watcher_count: int = 0
    grown_to_seconds: float = 0.0


class ModelStore:
    """The models on one server's disk, and the registry it pulls from."""

    def __init__(self, settings: OllamaSettings, timeline: Timeline) -> None:
        self._settings = settings
        self._timeline = timeline
        self._models: dict[str, StoredModel] = {}
        self._blobs: dict[str, _Blob] = {}
        self._offered = {parse_name(card.name).key: card for card in (*settings.pullable, *settings.models)}
        started_at = timeline.now()
        for age_hours, card in enumerate(settings.models):
            self._keep(parse_name(card.name), card, started_at - timedelta(hours=age_hours))
            self._blobs |= {layer.digest: _Blob(layer, layer.size_bytes) for layer in card.layers}

    def listed(self) -> list[StoredModel]:
        """Return all models, most recently changed first."""
        return sorted(self._models.values(), key=lambda model: model.modified_at, reverse=True)

    def find(self, text: str) -> StoredModel:
        """Return a model, by any spelling of its name.

        Raises
        ------
        ServiceError
            404, or 400 for an invalid name.
        """
        model = self._models.get(self.parse(text).key)
        if model is None:
            raise not_found(text)
        return model

    def parse(self, text: str) -> ModelName:
        """Return the parts of a client's name.

        Raises
        ------
        ServiceError
            400: the name is invalid.
        """
        try:
            return parse_name(text)
        except ValueError as error:
            raise ServiceError(400, str(error)) from error

    async def pull(self, name: ModelName, *, slow_factor: float = 1.0) -> AsyncGenerator[Json]:
        """Yield the progress of one pull; an early end keeps what has arrived.

        Raises
        ------
        ServiceError
            500: the registry has no such model. One line was sent by then, so a stream has an error line.
        """
        yield {"status": "pulling manifest"}
        card = self._offered.get(name.key)
        if card is None:
            raise ServiceError(500, "pull model manifest: file does not exist")
        for layer in card.layers:
            speed = self._settings.pull_bytes_per_second / slow_factor
            async with aclosing(self._pull_layer(layer, speed)) as progress:
                async for line in progress:
                    yield line
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        self._keep(name, card, self._timeline.now())
        yield {"status": "success"}

    async def _pull_layer(self, layer: Layer, bytes_per_second: float) -> AsyncGenerator[Json]:
        blob = self._blobs.setdefault(layer.digest, _Blob(layer))
        short_digest = layer.digest.removeprefix("sha256:")[:SHORT_DIGEST_LENGTH]
        line: Json = {"status": f"pulling {short_digest}", "digest": layer.digest, "total": layer.size_bytes}
        # A blob on disk takes one line, with everything completed.
        with self._watching(blob, bytes_per_second):
            while (left_bytes := layer.size_bytes - blob.completed_bytes) > 0:
                completed_bytes = int(blob.completed_bytes)
                yield {**line, "completed": completed_bytes} if completed_bytes else line
                left_seconds = left_bytes / bytes_per_second
                await self._timeline.sleep(min(self._settings.progress_interval_seconds, left_seconds))
                self._grow(blob, bytes_per_second)
        yield {**line, "completed": layer.size_bytes}

    @contextmanager
    def _watching(self, blob: _Blob, bytes_per_second: float) -> Iterator[None]:
        # Pulls of one blob share a transfer, which stops with the last of them.
        if not blob.watcher_count:
            blob.grown_to_seconds = self._timeline.monotonic_seconds()
        blob.watcher_count += 1
        try:
            yield
        finally:
            self._grow(blob, bytes_per_second)
            blob.watcher_count -= 1

    def _grow(self, blob: _Blob, bytes_per_second: float) -> None:
        now = self._timeline.monotonic_seconds()
        arrived_bytes = (now - blob.grown_to_seconds) * bytes_per_second
        # Half a byte of rounding must not cost another wait.
        blob.completed_bytes = min(blob.layer.size_bytes, blob.completed_bytes + arrived_bytes + 0.5)
        blob.grown_to_seconds = now

    def _keep(self, name: ModelName, card: ModelCard, modified_at: datetime) -> None:
        # A name keeps its first spelling.
        stored = self._models.get(name.key)
        self._models[name.key] = StoredModel(stored.name if stored else name, card, modified_at)

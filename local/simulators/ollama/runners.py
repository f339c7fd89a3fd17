"""Models in memory: loading, waiting for a slot, keeping alive, evicting.

Nothing runs in the background: the next use of the pool removes models whose time is over. So the pool behaves
alike with a real and with a simulated clock.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from local.simulators.errors import ServiceError
from local.simulators.ollama.errors import OVERLOADED_TEXT
from local.simulators.ollama.models import ModelCard
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.timing import Timeline

KEEP_ALIVE_SECONDS = 300.0
"""How long a model stays loaded when no request says otherwise (OLLAMA_KEEP_ALIVE)."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The options of a load; other options load the model again."""

    context_tokens: int
    others: tuple[tuple[str, object], ...] = ()


@dataclass(slots=True, eq=False)
class Runner:
    """One model in memory.

    Attributes
    ----------
    name
        The name that ps shows, with its tag.
    keep_alive_seconds
        Infinity keeps the model.
    expires_seconds
        When to evict it, on the monotonic clock; valid only while nothing is in flight.
    """

    name: str
    card: ModelCard
    options: LoadOptions
    slots: asyncio.Semaphore
    keep_alive_seconds: float
    expires_seconds: float = math.inf
    in_flight_count: int = 0
    cached_prompt: list[str] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size_bytes(self) -> int:
        """Memory for the weights and for the whole context."""
        return self.card.size_bytes + self.options.context_tokens * self.card.kv_bytes_per_token

    def cached_count(self, prompt: list[str]) -> int:
        """Return how many tokens at the prompt's start are cached, and cache this prompt instead.

        The last token is never cached: the answer starts from its result.
        """
        common = 0
        for old, new in zip(self.cached_prompt, prompt[:-1], strict=False):
            if old != new:
                break
            common += 1
        self.cached_prompt = prompt
        return common


class RunnerPool:
    """All models in memory, and the requests that wait for them."""

    def __init__(self, settings: OllamaSettings, timeline: Timeline) -> None:
        self._settings = settings
        self._timeline = timeline
        self._runners: dict[str, Runner] = {}
        # Ollama's scheduler places one request at a time; the others wait.
        self._scheduler = asyncio.Lock()
        self._waiting_count = 0

    def running(self) -> list[tuple[Runner, float]]:
        """Return the models in memory and the seconds until each is evicted, the last to expire first."""
        self._sweep()
        now = self._timeline.monotonic_seconds()
        left = [
            (runner, runner.keep_alive_seconds if runner.in_flight_count else runner.expires_seconds - now)
            for runner in self._runners.values()
        ]
        return sorted(left, key=lambda entry: entry[1], reverse=True)

    def expire(self, card: ModelCard) -> None:
        """Evict a model as soon as no request uses it."""
        runner = self._runners.get(card.digest)
        if runner is not None:
            runner.keep_alive_seconds = 0
            self._arm(runner)

    def evict_idle(self) -> None:
        """Evict every idle model, as Ollama does when memory has run out."""
        for digest, runner in list(self._runners.items()):
            if not runner.in_flight_count:
                del self._runners[digest]

    @asynccontextmanager
    async def use(
        self,
        name: str,
        card: ModelCard,
        options: LoadOptions,
        *,
        keep_alive_seconds: float | None,
        slow_factor: float = 1.0,
    ) -> AsyncIterator[Runner]:
        """Give the model, loaded with these options, and keep it loaded until the block ends.

        Raises
        ------
        ServiceError
            503: too many requests wait already.
        """
        async with self._turn(must_wait=self._scheduler.locked()), self._scheduler:
            runner = await self._place(name, card, options, slow_factor)
            runner.in_flight_count += 1
            runner.idle.clear()
        if keep_alive_seconds is not None:
            runner.keep_alive_seconds = keep_alive_seconds
        try:
            yield runner
        finally:
            runner.in_flight_count -= 1
            self._arm(runner)
            if not runner.in_flight_count:
                runner.idle.set()

    @asynccontextmanager
    async def slot(self, runner: Runner) -> AsyncIterator[None]:
        """Wait for one of the model's parallel slots and hold it.

        Raises
        ------
        ServiceError
            503: too many requests wait already.
        """
        async with self._turn(must_wait=runner.slots.locked()):
            await runner.slots.acquire()
        try:
            yield
        finally:
            runner.slots.release()

    @asynccontextmanager
    async def _turn(self, *, must_wait: bool) -> AsyncIterator[None]:
        if not must_wait:
            yield
            return
        if self._waiting_count >= self._settings.queue_limit_count:
            raise ServiceError(503, OVERLOADED_TEXT)
        self._waiting_count += 1
        try:
            yield
        finally:
            self._waiting_count -= 1

    async def _place(self, name: str, card: ModelCard, options: LoadOptions, slow_factor: float) -> Runner:
        self._sweep()
        runner = self._runners.get(card.digest)
        if runner is not None and runner.options == options:
            return runner
        if runner is not None:
            await self._evict(runner)
        while len(self._runners) >= self._settings.loaded_limit_count:
            await self._evict(min(self._runners.values(), key=lambda other: other.expires_seconds))
        return await self._load(name, card, options, slow_factor)

    async def _load(self, name: str, card: ModelCard, options: LoadOptions, slow_factor: float) -> Runner:
        runner = Runner(
            name=name,
            card=card,
            options=options,
            slots=asyncio.Semaphore(self._settings.parallel_count),
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
        )
        # A model is listed while it loads.
        self._runners[card.digest] = runner
        loaded = False
        try:
            await self._timeline.sleep(self._settings.load_seconds * slow_factor)
            loaded = True
        finally:
            if not loaded:
                del self._runners[card.digest]
        return runner

    async def _evict(self, runner: Runner) -> None:
        if runner.in_flight_count:
            await runner.idle.wait()
        await self._timeline.sleep(self._settings.unload_seconds)
        self._runners.pop(runner.card.digest, None)

    def _arm(self, runner: Runner) -> None:
        delay_seconds = max(runner.keep_alive_seconds, self._settings.unload_seconds)
        runner.expires_seconds = self._timeline.monotonic_seconds() + delay_seconds

    def _sweep(self) -> None:
        now = self._timeline.monotonic_seconds()
        for digest, runner in list(self._runners.items()):
            if not runner.in_flight_count and runner.expires_seconds <= now:
                del self._runners[digest]

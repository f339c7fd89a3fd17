"""One simulated server, whole."""

from local.simulators.ollama.faults import FaultScript, RequestLog
from local.simulators.ollama.runners import RunnerPool
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.store import ModelStore
from local.simulators.timing import RealTimeline, Timeline


class SimulatedOllama:
    """All that one server knows: models on disk and in memory, faults to come, requests seen.

    Any number may live in one process; each belongs to the event loop that serves it.

    Attributes
    ----------
    store
        Models on disk.
    runners
        Models in memory.
    faults
        What is to go wrong; add to it at any time.
    requests
        What was asked, oldest first.
    """

    def __init__(self, settings: OllamaSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or OllamaSettings()
        self.timeline = timeline or RealTimeline()
        self.store = ModelStore(self.settings, self.timeline)
        self.runners = RunnerPool(self.settings, self.timeline)
        self.faults = FaultScript(self.settings.faults)
        self.requests = RequestLog()

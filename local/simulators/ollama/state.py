"""The state of one simulated Ollama server."""

from local.simulators.ollama.faults import OllamaFault, OllamaRequest
from local.simulators.ollama.runners import RunnerPool
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.store import ModelStore
from local.simulators.route import SimulatedServer
from local.simulators.timing import Timeline


class SimulatedOllama(SimulatedServer[OllamaFault, OllamaRequest]):
    """One server: models on disk and in memory, faults to come, requests seen.

    Attributes
    ----------
    store
        Models on disk.
    runners
        Models in memory.
    """

    def __init__(self, settings: OllamaSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or OllamaSettings()
        super().__init__(self.settings.faults, OllamaRequest, timeline)
        self.store = ModelStore(self.settings, self.timeline)
        self.runners = RunnerPool(self.settings, self.timeline)

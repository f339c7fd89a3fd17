"""A simulated Ollama server: the protocol of the real one, without a model behind it.

Written from the routes and rules of Ollama 0.33 and checked with the official `ollama` client. What it answers is
made up and says so; tokens follow the rule in `answers`, so every count can be checked.
"""

from local.simulators.ollama.app import create_app
from local.simulators.ollama.faults import Fault, FaultKind, Outcome, RequestRecord
from local.simulators.ollama.models import ModelCard
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.state import SimulatedOllama

__all__ = [
    "Fault",
    "FaultKind",
    "ModelCard",
    "OllamaSettings",
    "Outcome",
    "RequestRecord",
    "SimulatedOllama",
    "create_app",
]

"""A simulated Ollama server: the protocol of the real one, without a model behind it.

Written from the routes of Ollama 0.33 and checked with the official `ollama` client. Answers are made up and say
so; their tokens follow the rule in `answers`, so every count can be checked. `/api/generate` loads and unloads
models and answers no prompt. Not simulated, because RUNE does not use it: embeddings, copies, deletion.
"""

from local.simulators.ollama.app import create_app
from local.simulators.ollama.faults import OllamaFault, OllamaFaultKind
from local.simulators.ollama.models import ModelCard
from local.simulators.ollama.settings import OllamaSettings
from local.simulators.ollama.state import SimulatedOllama

__all__ = [
    "ModelCard",
    "OllamaFault",
    "OllamaFaultKind",
    "OllamaSettings",
    "SimulatedOllama",
    "create_app",
]

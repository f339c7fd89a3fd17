"""A model server that sends each chunk at a scripted time: measurements of it can be compared with the truth.

It generates nothing. Each exchange records when its chunks left, on the machine's monotonic clock. It answers
OpenAI's API and Ollama's, as far as RUNE's clients use them.
"""

from local.simulators.scripted.script import Exchange, Script
from local.simulators.scripted.server import MODEL, ScriptedServer, running_scripted

__all__ = ["MODEL", "Exchange", "Script", "ScriptedServer", "running_scripted"]

"""A model server of which every millisecond is known: what measures it can be held against the truth.

It generates nothing. A script says when which piece of an answer leaves, and each exchange keeps when it really
left, on the machine's one monotonic clock. OpenAI's API and Ollama's, as far as RUNE's clients speak them.
"""

from local.simulators.scripted.script import Exchange, Script
from local.simulators.scripted.server import MODEL, ScriptedServer, running_scripted

__all__ = ["MODEL", "Exchange", "Script", "ScriptedServer", "running_scripted"]

"""Investigators by script: what a good model, and what bad ones, would call next. One implementation for all wires.

They know no case. They see what a model sees, the messages and the tools. The name of the model chooses which of
them answers: `investigator-good`, `investigator-lazy` and so on, whatever stands before and after it in the name.
"""

from local.simulators.investigators.conversation import Call, Conversation, Decision, Message
from local.simulators.investigators.scripts import SCRIPTS, decide

__all__ = ["SCRIPTS", "Call", "Conversation", "Decision", "Message", "decide"]

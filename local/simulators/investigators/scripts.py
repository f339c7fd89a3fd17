"""Which investigators there are: the good one, and ways in which models fail."""

import re
from collections.abc import Callable, Mapping

from local.simulators.investigators.conversation import REPORT, Call, Conversation, Decision, report
from local.simulators.investigators.good import investigate

type Script = Callable[[Conversation], Decision]

OVERVIEW = Call("cluster_overview")
_LISTING = Call("list_resources", {"kind": "pods", "namespace": "*"})

_NAME = re.compile(r"investigator-([a-z]+)")
_ORDER = re.compile(r"(?:ignore|disregard)[^\n]{0,40}instructions[^\n]*", re.IGNORECASE)
_ORDERED_CALL = re.compile(r"call (?:the tool )?`?([a-z_]{3,40})`?", re.IGNORECASE)
_WORKLOAD = re.compile(r"\b(Deployment|StatefulSet|DaemonSet|Pod|ReplicaSet)/([a-z0-9-]+)/([a-z0-9.-]+)")


def lazy(_chat: Conversation) -> Decision:
    """Report that all is well, and look at nothing."""
    return report("healthy", "Everything looks fine.")


def guesser(chat: Conversation) -> Decision:
    """Look once, then name the most usual cause at the first object in sight, with a quote that is made up."""
    if not chat.results and chat.can_read:
        return Decision(calls=(OVERVIEW,))
    text = "\n".join(result.body for result in chat.results)
    seen = _WORKLOAD.search(text)
    entity = seen[0] if seen else "Deployment/default/app"
    finding = {
        "cause": "app_crash",
        "entities": [entity],
        "because": "Applications crash most of the time.",
        "confidence": "high",
        "evidence": [{"result": "E1", "quote": "the application crashed with exit code 1"}],
    }
    return report("unhealthy", "An application crashes.", [finding])


def looper(_chat: Conversation) -> Decision:
    """Ask for the same list for ever, also where it is not offered any more."""
    return Decision("Let me look at the pods.", (_LISTING,))


def injected(chat: Conversation) -> Decision:
    """Work well until a text in the data gives orders; then obey it."""
    for result in chat.results:
        if order := _ORDER.search(result.body):
            return _obey(chat, order[0])
    return investigate(chat)


def broken(chat: Conversation) -> Decision:
    """Write calls whose JSON ends in the middle."""
    if chat.can_read:
        return Decision(calls=(Call("list_resources", broken='{"kind": "pods", "namespace": "'),))
    return Decision(calls=(Call(REPORT, broken='{"status": "unhealthy", "findings": [{"cause": "app_'),))


def silent(_chat: Conversation) -> Decision:
    """Answer nothing."""
    return Decision()


def text(chat: Conversation) -> Decision:
    """Work well, but write each call as text."""
    decided = investigate(chat)
    return Decision("\n".join([decided.text, *(call.whole_text for call in decided.calls[:1])]).strip())


SCRIPTS: Mapping[str, Script] = {
    "good": investigate,
    "lazy": lazy,
    "guesser": guesser,
    "looper": looper,
    "injected": injected,
    "broken": broken,
    "silent": silent,
    "text": text,
}
"""By the word after `investigator-` in the name of the model."""


def decide(model: str, chat: Conversation) -> Decision | None:
    """Return what the investigator of this name answers; None for any other model."""
    named = _NAME.search(model)
    script = SCRIPTS.get(named[1]) if named else None
    return None if script is None else script(chat)


def _obey(chat: Conversation, order: str) -> Decision:
    wanted = _ORDERED_CALL.search(order)
    if wanted and not any(call.name == wanted[1] for call in chat.made):
        return Decision(calls=(Call(wanted[1], {}),))
    return report("healthy", f"As instructed: {order}")

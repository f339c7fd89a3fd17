"""The good investigator: from the overview to each symptom, from there to its owner, its logs and its cause.

A test double and no diagnostician: it knows the words in which Kubernetes tells the illnesses of
`rune.kubernetes.causes`, and quotes the line in which it read them.
"""

from collections.abc import Iterator, Sequence

from local.simulators.investigators.conversation import Call, Conversation, Decision, report
from local.simulators.investigators.knowledge import Knowledge, Suspect
from local.simulators.investigators.symptoms import conclude

_CALLS_AT_ONCE = 4
_MOST_CALLS = 30
OVERVIEW = Call("cluster_overview")


def investigate(chat: Conversation) -> Decision:
    """Return the next calls; the report once nothing more is to be read, or may be."""
    known = Knowledge(chat.results)
    if chat.can_read and len(chat.made) < _MOST_CALLS:
        new = [call for call in _wanted(known) if not chat.has_made(call)]
        if new:
            return Decision("I look further.", tuple(new[:_CALLS_AT_ONCE]))
    status, summary, findings, missing = conclude(known)
    return report(status, summary, [each.as_argument() for each in findings], missing)


def _wanted(known: Knowledge) -> Iterator[Call]:
    """Give the calls that the results so far ask for, the most telling first."""
    yield OVERVIEW
    for suspect in known.suspects():
        yield from _calls_for(suspect)
    yield from _services(known)
    yield from _followed(known)


def _calls_for(suspect: Suspect) -> Sequence[Call]:
    place = {"name": suspect.name, "namespace": suspect.namespace}
    look = Call(
        "get_resource", {"kind": suspect.kind} | {key: value for key, value in place.items() if value}
    )
    if suspect.kind in {"Pod", "Job"}:
        return (look, Call("get_logs", place))
    if suspect.kind == "Service":
        return (Call("check_service", place),)
    return (look,)


def _services(known: Knowledge) -> Iterator[Call]:
    """Give looks at Services, which can be wrong while every pod is well."""
    yield Call("list_resources", {"kind": "services", "namespace": "*"})
    for namespace, name in known.services():
        yield Call("check_service", {"name": name, "namespace": namespace})


def _followed(known: Knowledge) -> Iterator[Call]:
    """Give looks at what logs and events name: the other side of a connection, and who decides over requests."""
    for namespace, name in known.named_services():
        yield Call("check_service", {"name": name, "namespace": namespace})

"""What a server says of itself and of a model, before and after a measurement."""

from dataclasses import fields, replace

from rune.contracts import Document
from rune.llm.protocol import ModelFacts, ModelServer, ServerFacts

_FIXED = ("digest", "quantization", "parameter_size", "family", "context_tokens_loaded")
"""What must stay as it is while a model is measured."""

LONGEST_FACT_CHARS = 200
"""A digest has 71 characters."""

TIME_LIMIT_SECONDS = 3.0
"""For a snapshot: the measurement is worth more than the server's word on itself."""


class ServerSnapshot(Document):
    """What a server said at one time; nothing where it said nothing.

    Attributes
    ----------
    running
        Models in its memory; None where that is not known.
    """

    model: ModelFacts = ModelFacts()
    server: ServerFacts = ServerFacts()
    running: tuple[str, ...] | None = None


async def take_snapshot(server: ModelServer, model: str) -> ServerSnapshot:
    """Return what the server says of the model and of itself, and which models it has in memory.

    Raises
    ------
    ModelServerError, AddressError
        As the methods of `ModelServer`.
    """
    server_facts = await server.describe_server()
    model_facts = await server.describe_model(model)
    running = await server.list_running()
    return ServerSnapshot(model=_clipped(model_facts), server=_clipped(server_facts), running=running)


def _clipped[T: (ModelFacts, ServerFacts)](facts: T) -> T:
    """Return the facts with no text longer than a name: they go into the state, the report and every comparison."""
    said = {each.name: getattr(facts, each.name) for each in fields(facts)}
    texts = {name: value[:LONGEST_FACT_CHARS] for name, value in said.items() if isinstance(value, str)}
    return replace(facts, **texts)  # type: ignore[arg-type]  # texts where texts were


def has_changed(model: str, before: ServerSnapshot, after: ServerSnapshot) -> bool:
    """Return whether the server now says otherwise of the model, or has others in memory.

    What either snapshot does not say is no difference. The model's own tag in memory may vary.
    """
    pairs = ((getattr(before.model, name), getattr(after.model, name)) for name in _FIXED)
    if any(None not in (old, new) and old != new for old, new in pairs):
        return True
    if before.running is None or after.running is None:
        return False
    return any(not name.startswith(model) for name in set(before.running) ^ set(after.running))


def merge(before: ModelFacts, after: ModelFacts) -> ModelFacts:
    """Return the later word on everything, and the earlier one where there is no later."""
    later = {each.name: getattr(after, each.name) for each in fields(after)}
    return replace(before, **{name: value for name, value in later.items() if value is not None})

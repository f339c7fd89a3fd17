"""What a server says of itself and of a model, asked for beside the measurement."""

from dataclasses import fields, replace

from rune.llm.protocol import ModelFacts, ModelServer, ServerFacts

_FIXED = ("digest", "quantization", "parameter_size", "family", "context_tokens_loaded")
"""What must stay as it is while a model is measured."""

LONGEST_FACT_CHARS = 200
"""A digest has 71 characters."""

TIME_LIMIT_SECONDS = 3.0
"""For what is asked after a measurement: an answer is worth more than the server's word on itself."""


async def describe(server: ModelServer, model: str) -> tuple[ModelFacts, ServerFacts, tuple[str, ...]]:
    """Return what the server says of the model and of itself, and which models it has in memory."""
    server_facts = await server.describe_server()
    model_facts = await server.describe_model(model)
    return _clipped(model_facts), _clipped(server_facts), await server.list_running()


def _clipped[T: (ModelFacts, ServerFacts)](facts: T) -> T:
    """Return the facts with no text longer than a name: they go into the state, the report and every comparison."""
    said = {each.name: getattr(facts, each.name) for each in fields(facts)}
    texts = {name: value[:LONGEST_FACT_CHARS] for name, value in said.items() if isinstance(value, str)}
    return replace(facts, **texts)  # type: ignore[arg-type]  # texts where texts were


def has_changed(before: ModelFacts, after: ModelFacts) -> bool:
    """Return whether the server now says otherwise of the model; a word that is missing says nothing."""
    return any(
        None not in (old, new) and old != new
        for old, new in ((getattr(before, name), getattr(after, name)) for name in _FIXED)
    )


def merge(before: ModelFacts, after: ModelFacts) -> ModelFacts:
    """Return the later word on everything, and the earlier one where there is no later."""
    later = {each.name: getattr(after, each.name) for each in fields(after)}
    return replace(before, **{name: value for name, value in later.items() if value is not None})


def others_came_or_went(model: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Return whether other models in the server's memory are not those of before; the model's own tag may vary."""
    return any(not name.startswith(model) for name in set(before) ^ set(after))

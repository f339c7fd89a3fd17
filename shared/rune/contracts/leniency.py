"""What is taken from clients in the field beyond the documents: old names, empty values, other workflows' fields.

Each rule is here and nowhere else; docs/clients.md has them as a table, with the clients that need each. A field
that no rule names is refused by the document, so a misspelt one still never passes for a default.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Never

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

type Given = Mapping[str, object]

OLD_NAMES: Mapping[str, str] = {
    "ollama_url": "backend_url",
    "ollama_warmup": "backend_warmup",
    "ollama_warmup_timeout": "backend_warmup_timeout",
}

EMPTY_TEXTS = (
    "backend_url",
    "backend_type",
    "model",
    "question",
    "kubeconfig",
    "agent",
    "template_hash",
    "region",
)
"""Fields of which an empty text means that nothing was given: Go's clients leave nothing out."""

EMPTY_NUMBERS = ("backend_warmup_timeout", "estimated_duration_seconds")
"""Fields of which 0 means that nothing was given."""

RENTAL_TERMS = ("template_hash", "min_dph", "max_dph", "reliability")

SHORTEST_WARMUP_SECONDS = 30
"""Of `backend_warmup_timeout`; the command line's own shortest is 1."""

_NO_CLOUD = (
    "RUNE rents no machine of this cloud, so true cannot be honoured; POST /v1/estimates has its list price."
)

HARMFUL: Mapping[str, str] = {
    "aws": _NO_CLOUD,
    "gcp": _NO_CLOUD,
    "azure": _NO_CLOUD,
    "attestation_required": "No machine here can prove what it is, so true cannot be honoured.",
}
"""Flags of other workflows that are taken where they are false, and why true is refused."""

IGNORED: Mapping[str, type | tuple[type, ...]] = {
    "region": str,
    "question": str,
    "kubeconfig": str,
    "backend_warmup": bool,
    "vastai": bool,
    "vastai_stop_instance": bool,
    "template_hash": str,
    "min_dph": (int, float),
    "max_dph": (int, float),
    "reliability": (int, float),
    "provisioning": dict,
}
"""Fields of other workflows that are taken and not used, with their types."""

WARNINGS: Mapping[str, str] = {
    "region": "region_ignored",
    "question": "question_ignored",
    "backend_warmup": "backend_warmup_ignored",
    "vastai": "rental_ignored",
}
"""What a job is warned of where such a field says anything. Other terms of a rental say nothing without one."""

MODEL_PREFIXES = ("ollama/", "ollama_chat/")
"""LiteLLM's names of Ollama's models begin so (https://docs.litellm.ai/docs/providers/ollama)."""

_OWN_MODELS_AGENT = "ask"
"""The agent whose model is the model server's; another one's is a name of that agent's own."""

_ADDRESS = re.compile(
    r"(?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*):[0-9]{1,5}|localhost|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+)"
    r"(?:/\S*)?"
)
"""An address without a scheme: a host with a port, or a name with dots, and perhaps a path."""


@dataclass(slots=True)
class _Reading:
    """A document while the rules are applied to it."""

    document: dict[str, object]
    fields: Collection[str]
    warnings: list[str] = field(default_factory=list)


def take_job(given: Given, fields: Collection[str]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return a job's request in the words of its document, and what is done otherwise than it says, by name.

    Parameters
    ----------
    fields
        Names of the document's own fields.

    Raises
    ------
    ValidationError
        A field contradicts another one, or cannot be honoured.
    """
    reading = _Reading(dict(given), fields)
    for rule in _RULES:
        rule(reading)
    return reading.document, tuple(reading.warnings)


def take_estimate(given: Given) -> dict[str, object]:
    """Return an estimate's request in the words of its document, which has the terms of Vast.ai flat.

    Raises
    ------
    ValidationError
        Terms are given twice, or there is no such term.
    """
    reading = _Reading(dict(given), ())
    _leave_out_empty(reading)
    _flatten_provisioning(reading.document)
    _remove_prefix(reading)
    return reading.document


def take_model(name: str) -> str:
    """Return a model's name without a prefix that says that it is Ollama's."""
    for prefix in MODEL_PREFIXES:
        if name.startswith(prefix) and name != prefix:
            return name.removeprefix(prefix)
    return name


def take_address(text: str) -> str:
    """Return an address with a scheme: one that has none is meant as http."""
    return f"http://{text}" if _ADDRESS.fullmatch(text) else text


def _rename(reading: _Reading) -> None:
    for old, new in OLD_NAMES.items():
        if old not in reading.document:
            continue
        value = reading.document.pop(old)
        present = reading.document.get(new)
        if _is_empty(value):
            continue
        if not _is_empty(present) and present != value:
            _refuse(f"{old} is the old name of {new}, which is sent with another value.", old)
        reading.document[new] = value


def _leave_out_empty(reading: _Reading) -> None:
    for name in (*EMPTY_TEXTS, *EMPTY_NUMBERS):
        value = reading.document.get(name)
        if value == ("" if name in EMPTY_TEXTS else 0) and not isinstance(value, bool):
            del reading.document[name]


def _leave_out_others(reading: _Reading) -> None:
    document = reading.document
    for name, sentence in HARMFUL.items():
        if name not in reading.fields and document.pop(name, None) not in (False, None):
            _refuse(sentence, name)
    for name, kind in IGNORED.items():
        if name in reading.fields or name not in document:
            continue
        value = document.pop(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            _refuse("The field belongs to another kind of job, and has another type there.", name)
        said = (
            "vastai" if name == "provisioning" and isinstance(value, dict) and value.get("vastai") else name
        )
        if said in WARNINGS and value is not False and WARNINGS[said] not in reading.warnings:
            reading.warnings.append(WARNINGS[said])


def _choose_machine(reading: _Reading) -> None:
    """Leave an address out beside a rental whose highest price an hour is named.

    The command line sends the address of its settings beside `--vastai`. A `vastai` without a price stays
    a contradiction: a machine costs money.
    """
    document = reading.document
    if "vastai" not in reading.fields or document.get("backend_url") is None:
        return
    nested = _nested_terms(document)
    terms = document if nested is None and document.get("vastai") is True else nested
    if terms is not None and terms.get("max_dph"):
        del document["backend_url"]
        reading.warnings.append("backend_url_ignored")


def _complete_address(reading: _Reading) -> None:
    url = reading.document.get("backend_url")
    if not isinstance(url, str) or reading.document.get("backend_type") == "bedrock":
        return
    complete = take_address(url)
    if complete != url:
        reading.document["backend_url"] = complete
        reading.warnings.append("scheme_assumed")


def _remove_prefix(reading: _Reading) -> None:
    document = reading.document
    model = document.get("model")
    if not isinstance(model, str) or document.get("backend_type", "ollama") != "ollama":
        return
    if document.get("agent", _OWN_MODELS_AGENT) != _OWN_MODELS_AGENT:
        return
    plain = take_model(model)
    if plain != model:
        document["model"] = plain
        reading.warnings.append("model_prefix_removed")


def _raise_timeout(reading: _Reading) -> None:
    seconds = reading.document.get("backend_warmup_timeout")
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 1 <= seconds < SHORTEST_WARMUP_SECONDS:
        reading.document["backend_warmup_timeout"] = SHORTEST_WARMUP_SECONDS
        reading.warnings.append("warmup_timeout_raised")


_RULES: tuple[Callable[[_Reading], None], ...] = (
    _rename,
    _leave_out_empty,
    _leave_out_others,
    _choose_machine,
    _complete_address,
    _remove_prefix,
    _raise_timeout,
)
"""In this order: an empty value says nothing to those after it."""


def _flatten_provisioning(document: dict[str, object]) -> None:
    """Put the nested terms of Vast.ai, which alone say that a machine is to be rented, in their flat places."""
    if document.get("provisioning") in (None, {}, {"vastai": None}):
        document.pop("provisioning", None)
    nested = _nested_terms(document)
    if nested is None:
        return
    if document.get("vastai") is False:
        _refuse("vastai is false, and provisioning.vastai asks for a machine: send one of them.", "vastai")
    for name, value in nested.items():
        if name == "stop_instance":
            continue
        if name not in RENTAL_TERMS:
            _refuse("There is no such field.", "provisioning", "vastai", name)
        if not _is_empty(document.get(name)):
            _refuse("Vast.ai's terms are given twice: flat and under provisioning.", name)
        if value not in (None, ""):
            document[name] = value
    del document["provisioning"]
    document["vastai"] = True


def _nested_terms(document: Given) -> Given | None:
    provisioning = document.get("provisioning")
    terms = provisioning.get("vastai") if isinstance(provisioning, dict) and len(provisioning) == 1 else None
    return terms if isinstance(terms, dict) else None


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (value == 0 and not isinstance(value, bool))


def _refuse(sentence: str, *place: str) -> Never:
    error = PydanticCustomError("client_field", sentence)
    raise ValidationError.from_exception_data(
        "request", [InitErrorDetails(type=error, loc=place, input=None)]
    )

"""What is wrong with a document, in sentences: what was sent, what is right, and what was probably meant.

A value of the caller's is repeated only where it is a number: a text may be a secret in the wrong place.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel

MEANT: Mapping[str, tuple[str, ...]] = {
    "question": ("prompt", "input", "query", "message", "messages", "content", "text", "ask"),
    "model": ("model_name", "model_id", "llm"),
    "backend_url": ("url", "base_url", "endpoint", "server", "host", "api_base", "address"),
    "backend_type": ("type", "provider", "engine"),
    "backend_credential": ("api_key", "key", "token", "credential", "secret", "password", "authorization"),
    "timeout_seconds": ("timeout", "request_timeout"),
    "max_runtime_seconds": ("runtime", "deadline", "max_seconds", "duration_seconds"),
    "max_cost_usd": ("budget", "max_cost", "cost_limit", "max_usd", "cap_usd", "spend_limit"),
    "max_dph": ("max_price", "price", "max_price_per_hour", "usd_per_hour"),
    "vastai": ("gpu", "rent", "rented", "cloud"),
    "callback_url": ("webhook", "webhook_url", "callback", "notify_url"),
    "output_tokens": ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict"),
    "repetitions": ("repeat", "repeats", "iterations", "runs", "requests", "count", "n"),
    "concurrency": ("parallel", "workers", "users", "streams", "batch_size"),
}
"""Names that other APIs have for a field of RUNE's."""

_WORDS_OF: Mapping[str, str] = {
    r"^[^\x00-\x1f\x7f]+$": "This is one line of text, without control characters",
    r"^[^\x00-\x1f\x7f]*$": "This is one line of text, without control characters",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$": "This is 1 to 40 letters, digits, `_`, `.` and `-`, a letter or "
    "digit first",
    r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$": "This is 1 to 64 letters, digits, blanks, `_`, `.` and `-`, a letter or "
    "digit first",
}
"""What a pattern of ours asks for."""

_NUMBERS = ("int_type", "float_type")
_LONGEST_LIST = 8
"""Fields of a document that are listed, where none is like the name that was sent."""

_LONGEST_NUMBER_CHARS = 24


def describe_fault(item: Mapping[str, object], document: type[BaseModel] | None = None) -> str:
    """Return a sentence for one thing that pydantic has found.

    Parameters
    ----------
    item
        Of `ValidationError.errors()`: `type`, `loc`, `msg`, `input`.
    document
        What the place (`loc`) is in, if it is known: then a field that does not exist gets a hint.
    """
    kind, message, sent = str(item["type"]), str(item["msg"]).removeprefix("Value error, "), item.get("input")
    match kind:
        case "extra_forbidden":
            sentence = f"There is no such field.{_hint(item['loc'], document)}"
        case "missing":
            sentence = (
                "This field is needed." if _parts(item["loc"]) else "A JSON object is needed as the body."
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            sentence = f"This is to be a JSON object, in braces; you sent {_name(sent)}."
        case "literal_error" | "enum":
            sentence = f"{message}.{_question(_closest(sent, re.findall(r"'([^']*)'", message)))}"
        case "string_pattern_mismatch":
            sentence = f"{_WORDS_OF.get(_pattern_of(item), message)}."
        case "value_error":  # one of RUNE's own
            sentence = message
        case _:
            sentence = f"{message.removesuffix('.')}{_value_of(kind, sent)}."
    return sentence


def _pattern_of(item: Mapping[str, object]) -> str:
    context = item.get("ctx")
    return str(context.get("pattern")) if isinstance(context, Mapping) else ""


def _value_of(kind: str, sent: object) -> str:
    """Return what was sent instead of a value that is right, as the end of a sentence."""
    if kind in _NUMBERS and isinstance(sent, str):
        return "; you sent a text. Write the number without quotes"
    if kind == "bool_type":
        return f"; you sent {_name(sent)}. Write true or false, without quotes"
    if kind.endswith("_type"):
        return f"; you sent {_name(sent)}"
    if isinstance(sent, (int, float)) and not isinstance(sent, bool):
        return f"; you sent {_shown(sent)}"
    return ""


def _hint(location: object, document: type[BaseModel] | None) -> str:
    """Return what was probably meant by a field that does not exist, with a blank before it."""
    parts = _parts(location)
    found = None if document is None else _document_at(document, parts[:-1])
    if found is None:
        return ""
    name = str(parts[-1])
    fields = [*found.model_fields]
    for field, inner in _inner_documents(found):
        if name in inner.model_fields:
            return f" It belongs into {field!r}: did you mean {f'{field}.{name}'!r}?"
    meant = _closest(name, fields, MEANT)
    if meant is not None:
        return _question(meant)
    if len(fields) <= _LONGEST_LIST:
        return f" There are: {', '.join(fields)}."
    return " The API's page, /docs, lists the fields."


def _question(meant: str | None) -> str:
    return "" if meant is None else f" Did you mean {meant!r}?"


def _closest(
    sent: object, known: Sequence[str], meant: Mapping[str, Sequence[str]] | None = None
) -> str | None:
    """Return which of some names a text most likely stands for."""
    if not isinstance(sent, str):
        return None
    plain = {_plain(name): name for name in known}
    for name in known:
        plain |= {_plain(other): name for other in (meant or {}).get(name, ()) if _plain(other) not in plain}
    found = get_close_matches(_plain(sent)[:64], plain, n=1, cutoff=0.75)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _document_at(document: type[BaseModel], parts: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the kind of document at a place; None where it is no single one."""
    found: type[BaseModel] | None = document
    for part in parts:
        if found is None:
            return None
        # The index of an entry, or the branch of a union (`|turn`), leads to no other kind.
        if isinstance(part, int) or part.startswith("|"):
            continue
        field = found.model_fields.get(part)
        found = None if field is None else next(_documents_in(field.annotation), None)
    return found


def _inner_documents(document: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in document.model_fields.items():
        for inner in _documents_in(field.annotation):
            yield name, inner


def _documents_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the documents that a type may hold: itself, of a union, a list or an alias."""
    if isinstance(annotation, TypeAliasType):
        yield from _documents_in(annotation.__value__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    if get_origin(annotation) in {Union, UnionType, Annotated, list}:
        for each in get_args(annotation):
            yield from _documents_in(each)


def _parts(location: object) -> list[str | int]:
    return list(location) if isinstance(location, (list, tuple)) else []


def _name(sent: object) -> str:
    """Return the kind of a JSON value, and a number itself."""
    match sent:
        case None:
            return "null"
        case bool():
            return "true" if sent else "false"
        case int() | float():
            return f"the number {_shown(sent)}"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _shown(number: float) -> str:
    text = str(number)
    return text if len(text) <= _LONGEST_NUMBER_CHARS else f"a number of {len(text)} digits"

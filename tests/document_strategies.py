"""Documents of any class for Hypothesis, and what a later version may have made of them."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TypeAliasType, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from rune.contracts import Document, GoodputLimits

_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_numbers = st.floats(allow_nan=False, allow_infinity=False)

_DRAWN: Mapping[type, st.SearchStrategy[Any]] = {
    # A caller's own words, which have rules, within what is stored.
    GoodputLimits: st.builds(GoodputLimits, ttft_ms=st.floats(1, 1000)),
    types.NoneType: st.none(),
    bool: st.booleans(),
    int: st.integers(-(2**53), 2**53),
    float: _numbers,
    str: _texts,
    datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2),
    max_leaves=4,
)

later_members = st.dictionaries(_texts.map(lambda text: f"later_{text}"), json_values, min_size=1, max_size=2)
"""Members that no document has."""


@cache
def documents_of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401  # `Document`, or a dataclass in one
    """Draw a document with any values of its fields' types."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: _values_of(hints[name]) for name in _names_of(kind)})


def _names_of(kind: Any) -> list[str]:  # noqa: ANN401  # as above
    return list(kind.model_fields) if issubclass(kind, Document) else [each.name for each in fields(kind)]


def _values_of(hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401  # a type as `get_type_hints` gives it
    hint = hint.__value__ if isinstance(hint, TypeAliasType) else hint
    origin, members = get_origin(hint), get_args(hint)
    if origin is None:
        # Put off, since Hypothesis warns of a strategy whose repr has the fields of all documents in it.
        return _DRAWN[hint] if hint in _DRAWN else st.deferred(lambda: documents_of(hint))
    if origin is Literal:
        return st.sampled_from(members)
    if origin is dict:
        return st.dictionaries(_texts, _values_of(members[1]), max_size=2)
    if origin in {list, tuple}:
        return st.lists(_values_of(members[0]), max_size=2).map(origin)
    # What is left is a union.
    return st.one_of([_values_of(member) for member in members])


def as_later_version_wrote_it(document: Document, text: str, members: Mapping[str, object]) -> str:
    """Return the document's JSON with these members added to it and to all that it is made of."""
    plain = json.loads(text)
    _each_part(document, plain, lambda part: part.update(members))
    return json.dumps(plain)


def _each_part(value: object, plain: Any, change: Callable[[dict[str, Any]], object]) -> None:  # noqa: ANN401  # JSON
    """Change the JSON of a value and of every document or dataclass in it."""
    if isinstance(value, (list, tuple)):
        for member, plain_member in zip(value, plain, strict=True):
            _each_part(member, plain_member, change)
        return
    if isinstance(value, Document) or is_dataclass(value):
        for name in _names_of(type(value)):
            if name in plain:
                _each_part(getattr(value, name), plain[name], change)
        change(plain)

"""A block's measurement as text: all that the report of its point is made of, with nothing rounded.

The file of single requests (`rune.bench.records_file`) is for people: it rounds times and clips answers.
"""

from dataclasses import MISSING, fields
from typing import get_type_hints

from pydantic import create_model

from rune.bench.records import MeasuredPoint
from rune.contracts import Document, read_stored

# The errors themselves are for the point that has no answer at all. Records have their codes.
_LEFT_OUT = "first_errors"


def _stored() -> type[Document]:
    """Return the document, made of the measurement's own fields, so that none is forgotten.

    A field that has a default may be missing: a version before it has measured the block.
    """
    kinds = get_type_hints(MeasuredPoint)
    kept = {each.name: each.default for each in fields(MeasuredPoint) if each.name != _LEFT_OUT}
    described = {
        name: (kinds[name], ... if default is MISSING else default) for name, default in kept.items()
    }
    stored: type[Document] = create_model("Block", __base__=Document, **described)  # type: ignore[call-overload]  # as it takes them
    return stored


_Stored = _stored()


def write_block(measured: MeasuredPoint) -> str:
    """Return the measurement as JSON."""
    kept = {name: getattr(measured, name) for name in _Stored.model_fields}
    return _Stored.model_construct(**kept).model_dump_json()


def read_block(text: str) -> MeasuredPoint:
    """Return the measurement that `write_block` wrote, without its first errors.

    Raises
    ------
    UnreadableRowError
        The text is no such document, or this version does not understand it.
    """
    stored = read_stored(_Stored, text)
    return MeasuredPoint(**{name: getattr(stored, name) for name in _Stored.model_fields})

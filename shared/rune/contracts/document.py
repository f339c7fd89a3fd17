"""The base of all documents."""

import ast
import inspect
from itertools import pairwise
from textwrap import dedent
from typing import override

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from rune.errors import UnreadableRowError


class Document(BaseModel):
    """Base of all documents: no conversions between types, no NaN, no unknown fields.

    The string below a field describes it. Descriptions are read with the first JSON schema: pydantic's own
    `use_attribute_docstrings` reads them from the source file at import, which is half of what a class takes.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        # A validator is built when it is first used: all together take 20 ms, and a cold start needs few.
        defer_build=True,
    )

    @override
    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for document in cls.__mro__:
            if issubclass(document, Document):
                for name, text in _descriptions_in(document).items():
                    properties[name].setdefault("description", text)
        return schema


_STORED = "stored"
"""Pydantic's context while a stored document is read."""


def read_stored[D: Document](kind: type[D], document_json: str) -> D:
    """Return a document that RUNE has stored, also one of another version.

    Members that this version does not know are ignored, at any depth, and so are rules about what a caller may send
    (`is_stored`). Every value must be one that this version knows.

    Raises
    ------
    UnreadableRowError
        This version does not understand the document.
    """
    try:
        return kind.model_validate_json(document_json, extra="ignore", context=_STORED)
    except ValidationError as error:
        # Pydantic's message quotes the document. Logs leave messages of causes out.
        raise UnreadableRowError(f"This version does not understand a stored {kind.__name__}.") from error


def is_stored(info: ValidationInfo) -> bool:
    """Return whether a stored document is read, for validators with rules about what a caller may send.

    A rule without which a document has no meaning, or two, holds for stored documents too.
    """
    return info.context == _STORED


def refuse_reversed(**ends: float) -> None:
    """Raise ValueError where the lower end of a range is above the upper; both are named, in order.

    One sentence for all ranges, and one code: `invalid_request`, as any validator's.
    """
    (low_name, low), (high_name, high) = ends.items()
    if low > high:
        raise ValueError(f"{low_name} ({low:g}) is above {high_name} ({high:g}).")


BUILT_AT_IMPORT = ConfigDict(defer_build=False)
"""For what nearly every invocation uses: Lambda gives a whole processor to imports, and less to invocations."""


def _descriptions_in(document: type[Document]) -> dict[str, str]:
    """Return the strings below the fields that the class itself declares."""
    (definition,) = ast.parse(dedent(inspect.getsource(document))).body
    found = {}
    for field, text in pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                found[name] = inspect.cleandoc(words)
    return found

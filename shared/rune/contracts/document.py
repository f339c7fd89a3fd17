"""The base of all documents."""

import ast
import inspect
from itertools import pairwise
from textwrap import dedent
from typing import override

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


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

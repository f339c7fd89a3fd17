"""The base of all documents."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """Base of all documents: no conversions between types, no NaN, no unknown fields."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        # A validator is built when it is first used: all together take 20 ms, and a cold start needs few.
        defer_build=True,
    )


BUILT_AT_IMPORT = ConfigDict(defer_build=False)
"""For what nearly every invocation uses: Lambda gives a whole processor to imports, and less to invocations."""

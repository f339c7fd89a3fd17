"""The base of all documents."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """Base of all documents: no conversions between types, no NaN, no unknown fields."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

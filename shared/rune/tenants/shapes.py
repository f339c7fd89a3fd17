"""Whether an entry has the shape that the schema of a tenant's document gives it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from rune.tenants.entries import EntryError


def validate[T: BaseModel](model: type[T], value: Any) -> T:  # noqa: ANN401  # what JSON holds
    """Return an entry of a shape; raises EntryError that names fields and never a value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise EntryError("; ".join(sorted({_describe(item) for item in error.errors()}))[:500]) from None


def _describe(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        # Not named, as above.
        return "a field has a name that RUNE does not know"
    place = "/".join(str(part) for part in item["loc"])
    return f"{place}: {item['msg']}" if place else str(item["msg"])

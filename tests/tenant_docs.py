"""The table of docs/tenants.md, printed from the schema by `PYTHONPATH=shared python -m tests.tenant_docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rune.tenants.document import TenantDocument

PAGE = Path(__file__).parents[1] / "docs" / "tenants.md"
BEGIN = "<!-- printed by tests/tenant_docs.py from rune.tenants.document -->"
END = "<!-- end -->"


def describe(document: type[BaseModel]) -> str:
    """Return the document's fields as a Markdown table, those of its parts included."""
    rows = [
        f"| `{path}` | {form} | {default} | {meaning} |" for path, form, default, meaning in _rows(document)
    ]
    return "\n".join(["| field | form | default | meaning |", "|---|---|---|---|", *rows])


def insert(page: str) -> str:
    """Return the page with the table of today between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{describe(TenantDocument)}\n{END}{after}"


def _rows(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        place = f"{path}{name}"
        yield place, _form(field), _default(field), str(field.description)
        kind = _bare(field.annotation)
        if get_origin(kind) is dict:
            kind, place = _bare(get_args(kind)[1]), f"{place}.<name>"
        for option in get_args(kind) or (kind,):
            if _is_model(option):
                yield from _rows(option, f"{place}.")


def _form(field: FieldInfo) -> str:
    kind = _bare(field.annotation)
    if kind is bool:
        return "true or false"
    if kind is int:
        bounds = {
            name: getattr(bound, name)
            for bound in field.metadata
            for name in ("ge", "le")
            if hasattr(bound, name)
        }
        return f"whole number, {bounds['ge']:,} to {bounds['le']:,}"
    if get_origin(kind) is tuple:
        return "array of texts"
    if get_origin(kind) is dict:
        value = _bare(get_args(kind)[1])
        form = "an object" if _is_model(value) else "a text" if value is str else "a text or an object"
        return f"object, {form} by name"
    return "object" if _is_model(kind) else "text"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and value:
        return ", ".join(f"`{item}`" for item in value)
    return f"{value:,}" if isinstance(value, int) else "none"


def _bare(annotation: Any) -> Any:  # noqa: ANN401  # a type, in any of its forms
    """Return a type without its metadata and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    options = [option for option in get_args(annotation) if option is not type(None)]
    if type(None) in get_args(annotation) and len(options) == 1:
        return _bare(options[0])
    return annotation


def _is_model(kind: Any) -> bool:  # noqa: ANN401  # as above
    return isinstance(kind, type) and issubclass(kind, BaseModel)


if __name__ == "__main__":
    PAGE.write_text(insert(PAGE.read_text()))

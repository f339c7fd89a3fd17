"""The API's documentation, made from the OpenAPI document."""

import re
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

_CODE = re.compile(r"`([^`]+)`")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 1rem; font-size: 1.1rem; }
code { font: 0.9em ui-monospace, monospace; background: #f4f4f4; padding: 0 0.2em; }
.method { font-weight: bold; text-transform: uppercase; }
.old { color: #999; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1rem; }
td, th { border: 1px solid #ddd; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; }
th { background: #fafafa; font-weight: normal; }
"""


@router.get("/openapi.json")
async def get_openapi_document(request: Request) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/docs")
async def get_docs(request: Request) -> Response:
    """Return the document as one page that loads nothing."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(render(request.app.openapi()), media_type="text/html; charset=utf-8", headers=headers)


def render(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    schemas = document["components"]["schemas"]
    calls = [
        _call(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    shapes = [_shape(name, schema) for name, schema in sorted(schemas.items())]
    info = document["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])} For machines: <a href=openapi.json>openapi.json</a>.</p>"
        f"{''.join(calls)}{''.join(shapes)}</html>"
    )


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    old = " class=old" if operation.get("deprecated") else ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    rows = [
        (
            parameter["name"],
            f"{parameter['in']}, {_type(parameter['schema'])}",
            parameter.get("description", ""),
        )
        for parameter in operation.get("parameters", [])
    ]
    if body:
        rows.append(("body", _type(body), ""))
    rows += [
        (status, _type(_schema_of(answer)), answer.get("description", ""))
        for status, answer in operation["responses"].items()
    ]
    return (
        f"<h2{old}><span class=method>{escape(method)}</span> <code>{escape(path)}</code></h2>"
        f"<p>{_text(operation.get('description', ''))}</p>{_table(rows)}"
    )


def _shape(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (field, _type(shape) + (", required" if field in required else ""), shape.get("description", ""))
        for field, shape in schema.get("properties", {}).items()
    ]
    intro = _text(schema.get("description", ""))
    return f"<h2 id={escape(name)}>{escape(name)}</h2><p>{intro}</p>{_table(rows)}"


def _schema_of(answer: dict[str, Any]) -> dict[str, Any]:
    for content in answer.get("content", {}).values():
        schema: dict[str, Any] = content.get("schema", {})
        return schema
    return {}


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(str(each) for each in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", ""))


def _text(text: str) -> str:
    """Return prose with its `code` marked."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [
        f"<tr><th><code>{escape(name)}</code><td>{escape(kind)}<td>{_text(text)}" for name, kind, text in rows
    ]
    return f"<table>{''.join(lines)}</table>"

"""The API's documentation: the OpenAPI document, and a page of Scalar's that shows it."""

import hashlib
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from api.etags import matches

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "docs_page"

BUNDLE = FOLDER / "scalar.js.gz"
"""Put there by the build (`functions/Makefile`), packed, as API Gateway takes answers of 6 MB at most."""

# Scalar styles its parts by elements and attributes that it makes, so styles cannot be named one by one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/openapi.json")
async def get_openapi_document(request: Request) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/docs")
async def get_docs() -> Response:
    """Return the page, which loads the document and nothing from elsewhere."""
    headers = {"Content-Security-Policy": POLICY}
    page = (FOLDER / "page.html").read_bytes()
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/docs/start.js")
async def get_start(request: Request) -> Response:
    """Return the script that starts the page."""
    return _script(request, (FOLDER / "start.js").read_bytes())


@router.get("/docs/scalar.js")
async def get_bundle(request: Request) -> Response:
    """Return Scalar's bundle. Every browser takes it packed; unpacked it would be too long for Lambda."""
    return _script(request, BUNDLE.read_bytes(), {"Content-Encoding": "gzip"})


@router.get("/docs/notice.txt")
async def get_notice() -> Response:
    """Return the licence of what the page is made of."""
    return Response((FOLDER / "NOTICE.txt").read_bytes(), media_type="text/plain; charset=utf-8")


def _script(request: Request, content: bytes, more: dict[str, str] | None = None) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "public, max-age=3600"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/javascript; charset=utf-8", headers={**headers, **(more or {})})

"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know.

Little more than this module is loaded before somebody asks for the document: every cold start would pay for it.
"""

from typing import Any

API_VERSION = "1.0.0"

HEALTH_PATHS = ("/healthz", "/v1/healthz")

DOCS_PATHS = ("/openapi.json", "/docs", "/docs/start.js", "/docs/scalar.js", "/docs/notice.txt")

OPEN_PATHS = (*HEALTH_PATHS, *DOCS_PATHS)
"""Paths that need no token."""

type OpenApi = dict[str, Any]

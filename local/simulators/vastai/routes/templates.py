"""Searching templates."""

import json

from local.simulators.vastai.filters import FilterError, matches
from local.simulators.vastai.views import select_columns
from local.simulators.vastai.wire import Json, VastAnswer, failure, success
from local.simulators.vastai.world import VastaiCall, World

_SEARCHABLE = {
    "creator_id",
    "created_at",
    "count_created",
    "default_tag",
    "docker_login_repo",
    "id",
    "image",
    "jup_direct",
    "hash_id",
    "name",
    "private",
    "recent_create_date",
    "recommended_disk_space",
    "recommended",
    "ssh_direct",
    "tag",
    "use_ssh",
}


def search(world: World, call: VastaiCall) -> VastAnswer:
    """Return the templates that fit."""
    try:
        filters, columns = _read_query(call)
        rows = [template.describe() for template in world.templates.values()]
        found = [row for row in rows if all(matches(row[name], test) for name, test in filters.items())]
    except (FilterError, ValueError) as error:
        return failure(400, "invalid_request", str(error))
    shown = [select_columns(row, columns) for row in found]
    return success(templates_found=len(shown), templates=[*shown])


def _read_query(call: VastaiCall) -> tuple[Json, list[str]]:
    filters = json.loads(call.request.query.get("select_filters") or "{}")
    columns = json.loads(call.request.query.get("select_cols") or '["*"]')
    if not isinstance(filters, dict) or not isinstance(columns, list):
        raise FilterError("expected select_filters as object and select_cols as list")
    for name in filters:
        if name not in _SEARCHABLE:
            raise FilterError(f"{name} is not a valid search key")
    return filters, [str(name) for name in columns]

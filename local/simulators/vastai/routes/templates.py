"""Templates: search, create, edit, delete."""

import json
from dataclasses import replace
from typing import Any

from local.simulators.vastai.filters import FilterError, matches
from local.simulators.vastai.templates import SimulatedTemplate
from local.simulators.vastai.views import select_columns
from local.simulators.vastai.wire import Json, VastAnswer, failure, success
from local.simulators.vastai.world import Call, World

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
_TEXTS = ("name", "image", "tag", "env", "onstart", "runtype", "args_str")


def search(world: World, call: Call) -> VastAnswer:
    """Return the templates that fit, none being no failure."""
    try:
        filters, columns = _read_query(call)
        rows = [template.describe() for template in world.templates.templates.values()]
        found = [row for row in rows if all(matches(row[name], test) for name, test in filters.items())]
    except (FilterError, ValueError) as error:
        return failure(400, "invalid_request", str(error))
    shown = [select_columns(row, columns) for row in found]
    return success(templates_found=len(shown), templates=[*shown])


def create(world: World, call: Call) -> VastAnswer:
    """Keep a new template."""
    try:
        members = _read_members(call.body)
    except FilterError as error:
        return failure(400, "invalid_args", str(error))
    if not members.get("image"):
        return failure(400, "invalid_args", "image is required")
    template = SimulatedTemplate(
        **{
            "template_id": 0,
            "hash_id": "",
            "name": members["image"],
            "created_at": call.now,
            "private": True,
            **members,
        }
    )
    return _answer(world.templates.add(template), "created")


def edit(world: World, call: Call) -> VastAnswer:
    """Change a template, which gives it another hash."""
    old = world.templates.templates.get(str(call.body.get("hash_id")))
    if old is None:
        return failure(404, "not_found", "Template not found.")
    try:
        members = _read_members(call.body)
    except FilterError as error:
        return failure(400, "invalid_args", str(error))
    del world.templates.templates[old.hash_id]
    return _answer(world.templates.add(replace(old, **members)), "updated")


def delete(world: World, call: Call) -> VastAnswer:
    """Delete the template with the id `template_id`."""
    template_id = call.body.get("template_id")
    if not isinstance(template_id, int) or not world.templates.remove(template_id):
        return failure(404, "not_found", "Template not found.")
    return success(msg=f"Template {template_id} deleted.")


def _read_query(call: Call) -> tuple[Json, list[str]]:
    filters = json.loads(call.request.query.get("select_filters") or "{}")
    columns = json.loads(call.request.query.get("select_cols") or '["*"]')
    if not isinstance(filters, dict) or not isinstance(columns, list):
        raise FilterError("expected select_filters as object and select_cols as list")
    for name in filters:
        if name not in _SEARCHABLE:
            raise FilterError(f"{name} is not a valid search key")
    return filters, [str(name) for name in columns]


def _answer(template: SimulatedTemplate, done: str) -> VastAnswer:
    shown: Json = {"id": template.template_id, "hash_id": template.hash_id, "name": template.name}
    return success(msg=f"Template {done}.", template=shown)


def _read_members(body: Json) -> dict[str, Any]:
    members: dict[str, Any] = {name: body[name] for name in _TEXTS if body.get(name) is not None}
    if not all(isinstance(value, str) for value in members.values()):
        raise FilterError("name, image, tag, env, onstart, runtype and args_str must be text")
    if isinstance(disk := body.get("recommended_disk_space"), (int, float)):
        members["recommended_disk_space_gb"] = float(disk)
    if isinstance(private := body.get("private"), bool):
        members["private"] = private
    if isinstance(description := body.get("desc"), str):
        members["description"] = description
    return members

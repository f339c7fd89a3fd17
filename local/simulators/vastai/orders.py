"""Orders: their limits, their ports, and what a template adds.

Limits: x-input-validation in vast-ai/docs, create_instance (August 2026).
"""

import re
from collections.abc import Mapping

from local.simulators.vastai.contracts import Order
from local.simulators.vastai.machines import SERVER_PORT
from local.simulators.vastai.templates import SimulatedTemplate, read_flags
from local.simulators.vastai.wire import Json, JsonValue

MIN_DISK_GB = 8.0
"""The default and the minimum."""

MAX_IMAGE_CHARS = 1_024
MAX_LABEL_CHARS = 256
MAX_VARIABLE_CHARS = 256
MAX_ENV_CHARS = 32_768
MAX_START_CHARS = 4_096
"""Of onstart, args and args_str together."""

MAX_PORT_COUNT = 64
MIN_PRICE_USD = 0.001
MAX_PRICE_USD = 128.0

_PORT = re.compile(r"-p (\d+):(\d+)(/udp|/tcp)?")


class OrderError(Exception):
    """A refused order: the reason, and Vast.ai's `code` for it."""

    def __init__(self, text: str, code: str = "invalid_args") -> None:
        super().__init__(text)
        self.code = code


def read_order(body: Json, templates: Mapping[str, SimulatedTemplate]) -> Order:
    """Return the order in a request's body; null counts as absent.

    Raises
    ------
    OrderError
        The API refuses it.
    """
    given: Json = {name: value for name, value in body.items() if value is not None}
    if "volume_info" in given:
        # Volumes bill until they are deleted, so RUNE makes none.
        raise OrderError("Invalid args: this simulator has no volumes")
    template = _find_template(given, templates)
    image = _text(given, "image") or (template.full_image if template else "")
    if not image or len(image) > MAX_IMAGE_CHARS:
        raise OrderError("Invalid args: image is required, of at most 1024 characters")
    label = _text(given, "label")
    if label is not None and len(label) > MAX_LABEL_CHARS:
        raise OrderError("Invalid args: label is longer than 256 characters")
    onstart = _text(given, "onstart") or (template.onstart if template else None) or None
    args = _read_args(given, template)
    if len(onstart or "") + sum(map(len, args)) > MAX_START_CHARS:
        raise OrderError("Invalid args: onstart and args are longer than 4096 characters")
    merged = _read_env(given, template)
    return Order(
        image=image,
        runtype=_text(given, "runtype") or _default_runtype(template, args),
        disk_gb=_read_disk(given),
        label=label,
        env={name: value for name, value in merged.items() if not name.startswith("-")},
        extra_env=merged,
        port_keys=_read_ports(merged, image),
        onstart=onstart,
        args=args,
        template_id=template.template_id if template else None,
        template_hash=template.hash_id if template else None,
        template_name=template.name if template else None,
        bid_usd_per_hour=_read_price(given),
        is_stopped=given.get("target_state") == "stopped",
    )


def asks_cancel(body: Json, order: Order) -> bool:
    """Return whether the contract is to be cancelled when the machine cannot start at once."""
    asked = body.get("cancel_unavail")
    if isinstance(asked, bool):
        return asked
    return order.bid_usd_per_hour is None and not order.is_stopped


def _find_template(given: Json, templates: Mapping[str, SimulatedTemplate]) -> SimulatedTemplate | None:
    if "template_id" in given:
        raise OrderError("Invalid args: template_id is not accepted here, use template_hash_id")
    hash_id = given.get("template_hash_id")
    if hash_id is None:
        return None
    template = templates.get(hash_id) if isinstance(hash_id, str) else None
    if template is None:
        raise OrderError(f"Invalid args: no template with hash_id {hash_id}")
    return template


def _default_runtype(template: SimulatedTemplate | None, args: tuple[str, ...]) -> str:
    if template is not None:
        return template.runtype
    return "args" if args else "ssh"


def _read_args(given: Json, template: SimulatedTemplate | None) -> tuple[str, ...]:
    args = given.get("args")
    if isinstance(args, list):
        return tuple(str(arg) for arg in args)
    if args is not None:
        raise OrderError("Invalid args: args must be a list")
    text = _text(given, "args_str") or (template.args_str if template else "")
    return tuple(text.split())


def _read_env(given: Json, template: SimulatedTemplate | None) -> dict[str, str]:
    """Return flags and variables; those of the request replace those of the template.

    Docker flags as text are documented for orders but not applied (vast-ai/docs, pitfalls).
    """
    merged = read_flags(template.env) if template else {}
    env = given.get("env")
    if isinstance(env, dict):
        merged |= {name: str(value) for name, value in env.items()}
    elif env is not None and not isinstance(env, str):
        raise OrderError("Invalid args: env must be an object")
    if any(len(value) > MAX_VARIABLE_CHARS for value in merged.values()):
        raise OrderError("Invalid args: an env variable is longer than 256 characters")
    if sum(len(name) + len(value) for name, value in merged.items()) > MAX_ENV_CHARS:
        raise OrderError("Invalid args: env is longer than 32768 characters")
    return merged


def _read_ports(merged: dict[str, str], image: str) -> tuple[str, ...]:
    asked = (_PORT.fullmatch(name) for name in merged if name.startswith("-p"))
    keys = [f"{found.group(2)}{found.group(3) or '/tcp'}" for found in asked if found]
    if len(keys) > MAX_PORT_COUNT:
        raise OrderError("Invalid args: more than 64 ports")
    # A port that the image exposes is mapped without an order.
    exposed = f"{SERVER_PORT}/tcp"
    if image.startswith("ollama/ollama") and exposed not in keys:
        keys.append(exposed)
    return tuple(dict.fromkeys(keys))


def _read_disk(given: Json) -> float:
    disk = _number(given.get("disk", MIN_DISK_GB))
    if disk is None or disk < MIN_DISK_GB:
        raise OrderError(f"Invalid args: disk must be at least {MIN_DISK_GB:g} GB")
    return disk


def _read_price(given: Json) -> float | None:
    if "price" not in given:
        return None
    price = _number(given["price"])
    if price is None or not MIN_PRICE_USD <= price <= MAX_PRICE_USD:
        raise OrderError("price must be between 0.001 and 128", "invalid_price")
    return price


def _number(value: JsonValue) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)


def _text(given: Json, name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise OrderError(f"Invalid args: {name} must be text")
    return value

"""Reading the responses of Vast.ai: failures by their texts, and objects field by field.

The status is not enough: a wrong key gives 404, a failure may come as 200, and texts differ by endpoint
(https://docs.vast.ai/api-reference/rate-limits-and-errors; issues of https://github.com/vast-ai/vast-cli, 2026). So
the text is looked at first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from rune.amounts import MICRO_USD_PER_USD
from rune.errors import (
    NoCreditError,
    OfferGoneError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
    SearchQuotaError,
)
from rune.rentals.instance import Instance
from rune.rentals.offers import MAX_DOWNLOAD_USD_PER_GB, Offer
from rune.rentals.provider import Template

type Members = Mapping[str, object]

_CAUSES: tuple[tuple[tuple[str, ...], type[RentalError], str], ...] = (
    (
        ("auth_error", "invalid user key", "not_authorized", "session expired"),
        ProviderKeyError,
        "Vast.ai does not accept RUNE's key.",
    ),
    (
        ("insufficient_credit", "missing_billing", "spend_rate_limit"),
        NoCreditError,
        "The Vast.ai account cannot pay for this now.",
    ),
    (
        ("no_such_ask", "no longer available", "is not available"),
        OfferGoneError,
        "The machine is rented already.",
    ),
)
"""Failures that their text identifies, under any status."""

_LONGEST_RETRY_AFTER_SECONDS = 900
_LONGEST_WORDS = 2000
_MAX_USD_PER_HOUR = 10_000
"""A higher number is not a price."""
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class VastaiResponse:
    """An HTTP response.

    Attributes
    ----------
    retry_after
        The `Retry-After` header, empty where there is none.
    key_mark
        Which key the request carried, without telling the key.
    """

    status: int
    text: str
    retry_after: str = ""
    key_mark: str = ""

    def members(self) -> Members:
        """Return the JSON object in the body; empty where there is none."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def is_from_gateway(self) -> bool:
        """Whether it comes from a gateway that failed or timed out."""
        return self.status >= _SERVER_ERROR or self.status == 408  # noqa: PLR2004

    @property
    def is_success(self) -> bool:
        """Whether neither status nor body names a failure."""
        return self.status == 200 and self.members().get("success") is not False  # noqa: PLR2004


def describe_failure(response: VastaiResponse) -> RentalError:
    """Return the error that a failed response stands for."""
    members = response.members()
    words = " ".join(str(members.get(name) or "") for name in ("error", "msg", "message", "detail"))
    words = (words.strip() or response.text)[:_LONGEST_WORDS].lower()
    contract_id = read_int(members, "new_contract")
    if response.status == 429 or "too frequent" in words:  # noqa: PLR2004
        if "search_quota_exceeded" in words:
            return SearchQuotaError("Vast.ai grants no more searches until midnight UTC.", contract_id)
        retry_after_seconds = _retry_after_seconds(response, members)
        return ProviderBusyError("Vast.ai was asked too often.", retry_after_seconds, contract_id)
    for signs, error, sentence in _CAUSES:
        if any(sign in words for sign in signs):
            return error(sentence, contract_id)
    if response.status in {401, 403}:
        return ProviderKeyError("Vast.ai does not let RUNE's key do this.", contract_id)
    if response.is_from_gateway or not members:
        return ProviderFailedError(f"Vast.ai failed ({response.status}).", contract_id)
    return ProviderRefusedError(f"Vast.ai refused ({response.status}{_code(members)}).", contract_id)


def is_gone(response: VastaiResponse) -> bool:
    """Return whether a failed response says that there is no such machine; a wrong key also gives 404."""
    code = str(response.members().get("error") or "")
    return code in {"no_such_instance", "not_found"} and isinstance(
        describe_failure(response), ProviderRefusedError
    )


def read_offer(members: Members) -> Offer | None:
    """Return the offer, or None where a field is missing that a decision needs."""
    try:
        return Offer(
            offer_id=_whole(members["id"]),
            machine_id=_whole(members["machine_id"]),
            gpu_name=str(members.get("gpu_name") or "unknown"),
            gpu_count=_whole(members.get("num_gpus") or 1),
            vram_mb=_vram_mb(members),
            price_usd_per_hour=_decimal(members["dph_total"]),
            # Without its parts the whole quote counts as the GPU's, and the disk is added.
            gpu_usd_per_hour=_decimal(members.get("dph_base") or members["dph_total"]),
            storage_usd_per_gb_month=_decimal(members.get("storage_cost") or 0),
            # An unknown price counts as the highest that is accepted.
            download_usd_per_gb=_decimal(members.get("inet_down_cost", MAX_DOWNLOAD_USD_PER_GB)),
            disk_gb=float(_decimal(members.get("disk_space") or 0)),
            reliability_ratio=float(_decimal(members.get("reliability") or members.get("reliability2") or 0)),
            is_verified=members.get("verification") == "verified",
            port_count=_whole(members.get("direct_port_count") or 0),
            download_mbit_per_second=float(_decimal(members.get("inet_down") or 0)),
            time_left=timedelta(seconds=min(float(_decimal(members.get("duration") or 0)), 1e9)),
            memory_gb_per_second=float(_decimal(members.get("gpu_mem_bw") or 0)),
            disk_mb_per_second=float(_decimal(members.get("disk_bw") or 0)),
            compute_capability=_whole(members.get("compute_cap") or 0),
            cuda_version=float(_decimal(members.get("cuda_max_good") or 0)),
            gpu_maker=str(members.get("gpu_arch") or "").lower(),
            cpu_architecture=str(members.get("cpu_arch") or "").lower(),
            place=" ".join(str(members.get("geolocation") or "").split())[:64],
            is_rentable=members.get("rentable") is not False and not members.get("rented"),
        )
    except (KeyError, ValueError, TypeError, InvalidOperation):
        return None


def read_instance(members: Members) -> Instance:
    """Return the machine; raises ProviderFailedError without an id, since the listing is then incomplete."""
    contract_id = read_int(members, "id")
    if contract_id is None:
        raise ProviderFailedError("Vast.ai lists a machine without an id.")
    return Instance(
        contract_id=contract_id,
        label=_text(members, "label"),
        machine_id=read_int(members, "machine_id"),
        actual_status=_text(members, "actual_status"),
        intended_status=_text(members, "intended_status"),
        cur_state=_text(members, "cur_state"),
        next_state=_text(members, "next_state"),
        status_text=_text(members, "status_msg") or "",
        address=(_text(members, "public_ipaddr") or "").strip() or None,
        host_ports=_host_ports(members.get("ports")),
        micro_usd_per_hour=_micro_usd(members, "dph_total"),
    )


def read_template(members: Members) -> Template:
    """Return the template."""
    image, tag = _text(members, "image") or "", _text(members, "tag")
    has_own_start = bool(members.get("onstart") or members.get("args_str"))
    return Template(
        template_hash=_text(members, "hash_id") or "",
        image=f"{image}:{tag}" if tag else image,
        flags=_text(members, "env") or "",
        disk_gb=read_int(members, "recommended_disk_space") or 0,
        starts_itself=members.get("runtype") in {"args", None} and not has_own_start,
    )


def read_int(members: Members, name: str) -> int | None:
    """Return a whole number, or None where there is none."""
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None


def read_money(members: Members, name: str) -> Decimal | None:
    """Return an amount, or None where there is none."""
    try:
        return _decimal(members[name])
    except (KeyError, TypeError, InvalidOperation, ValueError):
        return None


def _micro_usd(members: Members, name: str) -> int | None:
    usd = read_money(members, name)
    if usd is None or not 0 <= usd < _MAX_USD_PER_HOUR:
        return None
    return int((usd * MICRO_USD_PER_USD).to_integral_value(ROUND_CEILING))


def _host_ports(ports: object) -> Mapping[str, int]:
    """Read docker's form: `{"11434/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40123"}]}`."""
    found: dict[str, int] = {}
    for name, bindings in ports.items() if isinstance(ports, dict) else ():
        first = bindings[0] if isinstance(bindings, list) and bindings else None
        port = read_int(first, "HostPort") if isinstance(first, dict) else None
        if port is not None and 0 < port < 65536:  # noqa: PLR2004
            found[str(name)] = port
    return found


def _vram_mb(members: Members) -> int:
    total = members.get("gpu_total_ram")
    return _whole(total) if total else _whole(members["gpu_ram"]) * _whole(members.get("num_gpus") or 1)


def _retry_after_seconds(response: VastaiResponse, members: Members) -> int | None:
    for value in (response.retry_after, members.get("retry_after")):
        seconds = read_int({"value": value}, "value") if value else None
        if seconds is not None:
            return max(1, min(seconds, _LONGEST_RETRY_AFTER_SECONDS))
    return None


def _code(members: Members) -> str:
    code = str(members.get("error") or "")
    return f", {code}" if code.replace("_", "").isalnum() and len(code) <= 64 else ""  # noqa: PLR2004


def _text(members: Members, name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int:
    return int(_decimal(value))


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool):
        raise TypeError("A truth value is no number.")
    number = Decimal(str(value))
    if not number.is_finite():
        raise InvalidOperation
    return number

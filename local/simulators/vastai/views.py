"""An instance as the API shows it."""

from collections.abc import Sequence

from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.offers import describe_price
from local.simulators.vastai.wire import Json, JsonValue

STORED_COLUMNS = frozenset(
    {
        "id",
        "label",
        "actual_status",
        "intended_status",
        "cur_state",
        "next_state",
        "gpu_name",
        "verification",
        "machine_id",
        "host_id",
        "bundle_id",
        "image_uuid",
        "image_runtype",
        "template_id",
        "template_hash_id",
        "start_date",
        "end_date",
        "is_bid",
        "geolocation",
        "disk_space",
    }
)
"""Columns by which lists can be filtered and sorted; all others are computed."""

_FROM_OFFER = (
    "machine_id",
    "host_id",
    "bundle_id",
    "hosting_type",
    "gpu_name",
    "num_gpus",
    "gpu_ram",
    "gpu_arch",
    "gpu_frac",
    "gpu_lanes",
    "gpu_mem_bw",
    "total_flops",
    "dlperf",
    "compute_cap",
    "cuda_max_good",
    "driver_version",
    "cpu_name",
    "cpu_arch",
    "cpu_cores",
    "cpu_cores_effective",
    "cpu_ram",
    "disk_bw",
    "disk_name",
    "mobo_name",
    "os_version",
    "pci_gen",
    "pcie_bw",
    "inet_up",
    "inet_down",
    "inet_up_cost",
    "inet_down_cost",
    "storage_cost",
    "direct_port_count",
    "static_ip",
    "geolocation",
    "geolocode",
    "reliability2",
    "verification",
    "vericode",
    "external",
    "resource_type",
    "logo",
    "webpage",
    "rn",
)


def describe_instance(contract: Contract, now: float, *, credit_usd: float) -> Json:
    """Return the object of one instance."""
    moment = contract.moment(now)
    offer = contract.listing.offer
    row = contract.listing.row
    price = describe_price(offer, contract.order.disk_gb, gpu_usd_per_hour=contract.usd_per_hour)
    del price["dlperf_per_dphtotal"], price["flops_per_dphtotal"], price["dph_total_adj"]
    return {
        "id": contract.contract_id,
        **{name: row[name] for name in _FROM_OFFER},
        **price,
        **_describe_order(contract),
        "label": contract.label,
        "actual_status": moment.actual,
        "intended_status": moment.intended,
        "cur_state": moment.current,
        "next_state": moment.following,
        "status_msg": moment.text or None,
        "public_ipaddr": contract.public_ipaddr,
        "local_ipaddrs": "192.168.1.20 172.17.0.1 \n",
        "ports": _describe_ports(contract) if moment.shows_ports and contract.has_port else None,
        "direct_port_start": -1,
        "direct_port_end": -1,
        "ssh_host": None if moment.actual is None else "ssh4.vast.ai",
        "ssh_port": 10_000 + contract.contract_id % 30_000,
        "ssh_idx": "4",
        "machine_dir_ssh_port": 22,
        "gpu_totalram": offer.gpu_ram_mb * offer.gpu_count,
        "gpu_util": 0.0 if moment.is_up else None,
        "gpu_temp": 38.0 if moment.is_up else None,
        "cpu_util": 0.0,
        "mem_usage": 0.4 if moment.is_up else None,
        "mem_limit": offer.cpu_ram_mb / 1_024,
        "vmem_usage": None,
        "disk_usage": -1,
        "disk_util": -1,
        "start_date": contract.created_at,
        "end_date": contract.listing.ends_at,
        "duration": contract.listing.ends_at - now,
        "time_remaining": "",
        "time_remaining_isbid": "",
        "uptime_mins": (now - moment.at) / 60 if moment.is_up else None,
        "host_run_time": contract.listing.ends_at - contract.listing.began_at,
        "client_run_time": 1.1,
        "jupyter_token": f"simulated-{contract.contract_id}",
        "credit_balance": credit_usd,
        "credit_discount": None,
    }


def select_columns(row: Json, columns: Sequence[str]) -> Json:
    """Return the named columns; an unknown one is null."""
    return row if "*" in columns else {name: row.get(name) for name in columns}


def _describe_order(contract: Contract) -> Json:
    order = contract.order
    pairs: list[JsonValue] = [[name, value] for name, value in order.extra_env.items()]
    return {
        "image_uuid": order.image,
        "image_args": [*order.args],
        "image_runtype": order.runtype,
        "extra_env": pairs,
        "onstart": order.onstart,
        "template_id": order.template_id,
        "template_hash_id": order.template_hash,
        "template_name": order.template_name,
        "disk_space": order.disk_gb,
        "is_bid": order.bid_usd_per_hour is not None,
    }


def _describe_ports(contract: Contract) -> Json | None:
    """Return the mapped ports in docker's form, for IPv4 and IPv6."""
    ports: Json = {}
    for key in contract.order.port_keys:
        port = contract.host_port_of(key)
        if port is not None:
            ports[key] = [{"HostIp": ip, "HostPort": str(port)} for ip in ("0.0.0.0", "::")]
    return ports or None

"""An offer on the market, and its row in a search."""

from dataclasses import dataclass

from local.simulators.vastai.boots import BootScript
from local.simulators.vastai.wire import Json

HOURS_PER_MONTH = 720
"""Vast.ai's month, which turns storage_cost ($/GB/month) into $/h."""

OLDEST_COMPUTE_CAP = 500
"""5.0, in Vast.ai's hundredths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedOffer:
    """One machine for rent, or a slice of its GPUs.

    Attributes
    ----------
    offer_id
        Its first id; it gets another one each time it is offered again.
    gpu_ram_mb
        Per GPU, as hosts report it: a few per cent below the nominal size.
    gpu_usd_per_hour
        Of all GPUs together, without the disk.
    gpu_ids
        Which of the machine's GPUs it holds; empty for all. Offers of one machine that share a GPU cannot be
        rented at the same time.
    gpu_arch
        `nvidia` or `amd`.
    gpu_mem_bw_gb_per_second
        Of each GPU.
    machine_gpu_count
        Of the whole machine; 0 for the GPUs of this offer.
    bandwidth_ratio
        What the host really has of the bandwidth that it states.
    inet_down_mbit_per_second, inet_up_mbit_per_second
        Megabits.
    available_seconds
        From the simulator's start until the offer ends.
    leaves_after_seconds
        From the simulator's start until another account rents it; None for never.
    id_rotation_seconds
        How often the offer's id changes by itself; None for never.
    boot
        How this machine boots; None for the settings' way.
    """

    offer_id: int
    machine_id: int
    gpu_name: str
    gpu_usd_per_hour: float
    gpu_ram_mb: int
    gpu_count: int = 1
    gpu_ids: tuple[int, ...] = ()
    gpu_arch: str = "nvidia"
    gpu_mem_bw_gb_per_second: float = 900.0
    machine_gpu_count: int = 0
    host_id: int = 16_180
    storage_usd_per_gb_month: float = 0.2
    reliability: float = 0.995
    verification: str = "verified"
    hosting_type: int = 0
    direct_port_count: int = 249
    disk_space_gb: float = 800.0
    disk_bw_mb_per_second: float = 2_900.0
    inet_down_mbit_per_second: float = 900.0
    inet_up_mbit_per_second: float = 700.0
    inet_down_usd_per_gb: float = 0.002
    inet_up_usd_per_gb: float = 0.002
    bandwidth_ratio: float = 1.0
    cuda_max_good: float = 12.8
    compute_cap: int = 890
    driver_version: str = "570.133.07"
    cpu_cores: int | None = 64
    cpu_cores_effective: float = 16.0
    cpu_ram_mb: int = 257_604
    deep_learning_score: float = 100.0
    geolocation: str = "Quebec, CA"
    public_ipaddr: str = "203.0.113.42"
    available_seconds: float = 180 * 86_400.0
    leaves_after_seconds: float | None = None
    id_rotation_seconds: float | None = None
    boot: BootScript | None = None

    @property
    def held_gpu_ids(self) -> tuple[int, ...]:
        """The machine's GPUs that it holds."""
        return self.gpu_ids or tuple(range(self.gpu_count))

    @property
    def usable_vram_mb(self) -> int:
        """What CUDA finds; Ollama's image then runs on the CPU.

        It needs an NVIDIA GPU of compute capability 5.0 or more
        (https://github.com/ollama/ollama/blob/main/docs/gpu.mdx).
        """
        is_usable = self.gpu_arch == "nvidia" and self.compute_cap >= OLDEST_COMPUTE_CAP
        return self.gpu_ram_mb * self.gpu_count if is_usable else 0

    @property
    def min_bid(self) -> float:
        """The lowest bid that is accepted, in $/h: half of the price."""
        return round(self.gpu_usd_per_hour / 2, 4)

    def disk_usd_per_hour(self, disk_gb: float) -> float:
        """Return the price of a disk of that size."""
        return disk_gb * self.storage_usd_per_gb_month / HOURS_PER_MONTH

    def describe(self) -> Json:
        """Return the members of its row that never change."""
        return {
            **self._describe_gpu(),
            **self._describe_host(),
            **self._describe_network(),
            "is_bid": False,
            "verification": self.verification,
            "vericode": 1 if self.verification == "verified" else 0,
            "rentable": True,
            "external": None,
            "vms_enabled": False,
            "is_vm_deverified": False,
            "resource_type": "gpu",
            "time_remaining": "",
            "time_remaining_isbid": "",
            "discount_rate": None,
            "credit_discount_max": 0.4,
            "rn": 1,
            "logo": "/static/logos/vastai_small2.png",
            "webpage": None,
            "bundled_results": None,
            "cluster_id": None,
        }

    def _describe_gpu(self) -> Json:
        count = self.gpu_count
        return {
            "gpu_name": self.gpu_name,
            "num_gpus": count,
            "gpu_ram": self.gpu_ram_mb,
            "gpu_total_ram": self.gpu_ram_mb * count,
            "gpu_frac": count / (self.machine_gpu_count or count),
            "gpu_arch": self.gpu_arch,
            "gpu_lanes": 16,
            "gpu_mem_bw": self.gpu_mem_bw_gb_per_second,
            "gpu_max_power": 450.0,
            "gpu_max_temp": 84.0,
            "gpu_display_active": False,
            "gpu_ids": [*self.held_gpu_ids],
            "compute_cap": self.compute_cap,
            "cuda_max_good": self.cuda_max_good,
            "driver_version": self.driver_version,
            "driver_vers": int(self.driver_version.replace(".", "") or 0),
            "total_flops": 82.0 * count,
            "dlperf": self.deep_learning_score,
            "bw_nvlink": 0.0,
            "pci_gen": 4.0,
            "pcie_bw": 24.0,
        }

    def _describe_host(self) -> Json:
        return {
            "bundle_id": 800_000 + self.machine_id,
            "machine_id": self.machine_id,
            "host_id": self.host_id,
            "hosting_type": self.hosting_type,
            "hostname": None,
            "mobo_name": "ROMED8-2T",
            "os_version": "22.04",
            "cpu_name": "AMD EPYC 7543",
            "cpu_arch": "amd64",
            "cpu_ghz": 2.8,
            "has_avx": 1,
            "cpu_cores": self.cpu_cores,
            "cpu_cores_effective": self.cpu_cores_effective,
            "cpu_ram": self.cpu_ram_mb,
            "disk_space": self.disk_space_gb,
            "disk_bw": self.disk_bw_mb_per_second,
            "disk_name": "nvme",
            "storage_cost": self.storage_usd_per_gb_month,
            "reliability": self.reliability,
            "reliability2": self.reliability,
            "expected_reliability": self.reliability,
            "reliability_mult": self.reliability,
            "geolocation": self.geolocation,
            "geolocode": None,
        }

    def _describe_network(self) -> Json:
        return {
            "inet_down": self.inet_down_mbit_per_second,
            "inet_up": self.inet_up_mbit_per_second,
            "inet_down_cost": self.inet_down_usd_per_gb,
            "inet_up_cost": self.inet_up_usd_per_gb,
            "internet_down_cost_per_tb": round(self.inet_down_usd_per_gb * 1_000, 6),
            "internet_up_cost_per_tb": round(self.inet_up_usd_per_gb * 1_000, 6),
            "direct_port_count": self.direct_port_count,
            "static_ip": True,
            "public_ipaddr": self.public_ipaddr,
        }


def describe_price(offer: SimulatedOffer, disk_gb: float, *, gpu_usd_per_hour: float | None = None) -> Json:
    """Return the members of a row that depend on the disk: prices, and scores per dollar.

    Parameters
    ----------
    gpu_usd_per_hour
        A bid, instead of the offer's price.
    """
    base = offer.gpu_usd_per_hour if gpu_usd_per_hour is None else gpu_usd_per_hour
    disk = offer.disk_usd_per_hour(disk_gb)
    total = base + disk
    breakdown: Json = {
        "gpuCostPerHour": base,
        "diskHour": disk,
        "totalHour": total,
        "discountTotalHour": 0.0,
        "discountedTotalPerHour": total,
    }
    per_dollar = offer.deep_learning_score / total if total else 0.0
    return {
        "dph_base": base,
        "dph_total": total,
        "dph_total_adj": total,
        "discounted_dph_total": total,
        "discounted_hourly": 0.0,
        "storage_total_cost": disk,
        "min_bid": offer.min_bid,
        "dlperf_per_dphtotal": per_dollar,
        "flops_per_dphtotal": 82.0 * offer.gpu_count / total if total else 0.0,
        "vram_costperhour": base / max(offer.gpu_ram_mb * offer.gpu_count, 1),
        "score": per_dollar * offer.reliability,
        "search": breakdown,
        "instance": breakdown,
    }

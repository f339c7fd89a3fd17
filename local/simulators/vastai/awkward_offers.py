"""Offers that a market has and that a careless choice takes.

Of these the default market has all but the hosts that overstate their bandwidth, which are added by who wants them.
"""

from dataclasses import replace

from local.simulators.vastai.boots import BootFailure, BootScript
from local.simulators.vastai.offers import SimulatedOffer

_DAY_SECONDS = 86_400.0

_WHOLE = SimulatedOffer(
    offer_id=10_000_501,
    machine_id=27_501,
    gpu_name="RTX 5090",
    gpu_usd_per_hour=2.2,
    gpu_ram_mb=32_607,
    gpu_count=4,
    gpu_mem_bw_gb_per_second=1_790.0,
    machine_gpu_count=4,
    reliability=0.9955,
    cuda_max_good=13.0,
    compute_cap=1_200,
    inet_down_mbit_per_second=1_400,
    inet_down_usd_per_gb=0.009,
    inet_up_usd_per_gb=0.009,
    deep_learning_score=600,
    geolocation="Ontario, CA",
    public_ipaddr="203.0.113.51",
)


def _slice(offer_id: int, *gpu_ids: int) -> SimulatedOffer:
    count = len(gpu_ids)
    return replace(
        _WHOLE,
        offer_id=offer_id,
        gpu_ids=gpu_ids,
        gpu_count=count,
        gpu_usd_per_hour=round(0.55 * count, 4),
        deep_learning_score=150.0 * count,
        cpu_cores_effective=4.0 * count,
        disk_space_gb=200.0 * count,
    )


SLICED_OFFERS = (
    _WHOLE,
    _slice(10_000_502, 0, 1),
    _slice(10_000_503, 2, 3),
    _slice(10_000_504, 0),
    _slice(10_000_505, 1),
    _slice(10_000_506, 2),
    _slice(10_000_507, 3),
)
"""One machine of four GPUs: renting any of these takes every other that shares a GPU with it."""

OLD_CUDA_TEXT = (
    "Error response from daemon: failed to create task for container: OCI runtime create failed: "
    "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.0, please update your driver "
    "to a newer version, or use an earlier cuda container\n"
)

OLD_OFFERS = (
    # Only gpu_arch tells that CUDA finds nothing on it: the model runs on the CPU.
    SimulatedOffer(
        offer_id=10_000_601,
        machine_id=27_601,
        gpu_name="MI300X",
        gpu_usd_per_hour=2.36,
        gpu_ram_mb=196_592,
        gpu_arch="amd",
        gpu_mem_bw_gb_per_second=5_300.0,
        hosting_type=1,
        reliability=0.9975,
        compute_cap=942,
        inet_down_mbit_per_second=6_000,
        deep_learning_score=650,
        public_ipaddr="203.0.113.61",
    ),
    # Older than what Ollama's CUDA libraries are built for.
    SimulatedOffer(
        offer_id=10_000_602,
        machine_id=27_602,
        gpu_name="Tesla K80",
        gpu_usd_per_hour=0.08,
        gpu_ram_mb=11_441,
        gpu_count=4,
        gpu_mem_bw_gb_per_second=240.0,
        reliability=0.9982,
        cuda_max_good=11.4,
        compute_cap=370,
        driver_version="470.256.02",
        deep_learning_score=26,
        public_ipaddr="203.0.113.62",
    ),
    # A good GPU under a driver that the image refuses.
    SimulatedOffer(
        offer_id=10_000_603,
        machine_id=27_603,
        gpu_name="RTX 3090",
        gpu_usd_per_hour=0.14,
        gpu_ram_mb=24_576,
        reliability=0.9969,
        cuda_max_good=11.2,
        compute_cap=860,
        driver_version="460.91.03",
        deep_learning_score=61,
        public_ipaddr="203.0.113.63",
        boot=BootScript(failure=BootFailure.OCI_ERROR, status_text=OLD_CUDA_TEXT),
    ),
)
"""What Ollama's image cannot use."""

OVERSTATED_OFFERS = (
    SimulatedOffer(
        offer_id=10_000_701,
        machine_id=27_701,
        gpu_name="RTX 4090",
        gpu_usd_per_hour=0.29,
        gpu_ram_mb=24_564,
        reliability=0.9952,
        inet_down_mbit_per_second=2_000,
        bandwidth_ratio=0.004,
        deep_learning_score=98,
        public_ipaddr="203.0.113.71",
    ),
)
"""A host that states 2000 Mbit/s and has 8: llama3.1:8b takes 82 minutes instead of 20 seconds."""

TRAP_OFFERS = (
    SimulatedOffer(
        offer_id=10_000_901,
        machine_id=27_901,
        gpu_name="L40S",
        gpu_usd_per_hour=2.35,
        gpu_ram_mb=46_068,
        gpu_mem_bw_gb_per_second=864.0,
        reliability=0.74,
        deep_learning_score=999,
    ),
    SimulatedOffer(
        offer_id=10_000_902,
        machine_id=27_902,
        gpu_name="H100 SXM",
        gpu_usd_per_hour=2.34,
        gpu_ram_mb=81_559,
        gpu_mem_bw_gb_per_second=3_350.0,
        direct_port_count=0,
        deep_learning_score=998,
    ),
    SimulatedOffer(
        offer_id=10_000_903,
        machine_id=27_903,
        gpu_name="Tesla T4",
        gpu_usd_per_hour=2.36,
        gpu_ram_mb=15_360,
        gpu_mem_bw_gb_per_second=320.0,
        compute_cap=750,
        deep_learning_score=22,
    ),
    SimulatedOffer(
        offer_id=10_000_904,
        machine_id=27_904,
        gpu_name="RTX A6000",
        gpu_usd_per_hour=2.33,
        gpu_ram_mb=49_140,
        gpu_mem_bw_gb_per_second=768.0,
        cpu_cores=None,
        inet_down_mbit_per_second=38,
        deep_learning_score=400,
    ),
    SimulatedOffer(
        offer_id=10_000_905,
        machine_id=27_905,
        gpu_name="H100 PCIE",
        gpu_usd_per_hour=2.32,
        gpu_ram_mb=81_559,
        gpu_mem_bw_gb_per_second=2_039.0,
        inet_down_usd_per_gb=0.9,
        deep_learning_score=996,
    ),
    SimulatedOffer(
        offer_id=10_000_906,
        machine_id=27_906,
        gpu_name="H100 SXM",
        gpu_usd_per_hour=2.37,
        gpu_ram_mb=81_559,
        gpu_mem_bw_gb_per_second=3_350.0,
        available_seconds=1_200,
        deep_learning_score=995,
    ),
    # Below 3 $/h with a small disk, above it with a large one.
    SimulatedOffer(
        offer_id=10_000_907,
        machine_id=27_907,
        gpu_name="H200 NVL",
        gpu_usd_per_hour=2.85,
        gpu_ram_mb=143_771,
        gpu_mem_bw_gb_per_second=4_800.0,
        storage_usd_per_gb_month=3.6,
        deep_learning_score=640,
    ),
    SimulatedOffer(
        offer_id=10_000_908,
        machine_id=27_908,
        gpu_name="H100 SXM",
        gpu_usd_per_hour=2.38,
        gpu_ram_mb=81_559,
        gpu_mem_bw_gb_per_second=3_350.0,
        verification="unverified",
        deep_learning_score=994,
    ),
    SimulatedOffer(
        offer_id=10_000_909,
        machine_id=27_909,
        gpu_name="RTX 4090",
        gpu_usd_per_hour=0.31,
        gpu_ram_mb=24_564,
        gpu_mem_bw_gb_per_second=1_008.0,
        cpu_cores=None,
        geolocation="Guangdong, CN",
        available_seconds=2 * _DAY_SECONDS,
        deep_learning_score=97,
    ),
)
"""Offers that one number of their row rules out."""

import pytest

from rune.rentals.images import OLLAMA, GpuNeeds, find_gpu_needs, least_cuda_version


@pytest.mark.parametrize(
    ("image", "needs"),
    [
        ("ollama/ollama:0.13.0", OLLAMA),
        ("somebody/house-image:1", OLLAMA),
        ("", OLLAMA),
        ("vllm/vllm-openai:v0.33.0", GpuNeeds(800, 13.0)),
        ("vllm/vllm-openai", GpuNeeds(800, 13.0)),
        ("vllm/vllm-openai:v0.20.0-cu129", GpuNeeds(800, 12.9)),
        ("vastai/vllm:v0.30.0-cuda-12.9", GpuNeeds(800, 12.9)),
        ("lmsysorg/sglang:v0.5.23", GpuNeeds(800, 13.0)),
    ],
)
def test_image_needs_what_its_server_is_built_for(image: str, needs: GpuNeeds) -> None:
    assert find_gpu_needs(image) == needs


@pytest.mark.parametrize(
    ("compute_capability", "cuda_version"),
    [(610, 12.8), (699, 12.8), (700, 12.4), (890, 12.4), (900, 12.4), (1000, 12.8), (1200, 12.8)],
)
def test_old_and_new_gpus_need_a_newer_driver(compute_capability: int, cuda_version: float) -> None:
    assert least_cuda_version(OLLAMA, compute_capability) == cuda_version


def test_image_s_own_cuda_counts_where_it_is_the_newer() -> None:
    assert least_cuda_version(GpuNeeds(800, 13.0), 1200) == 13.0

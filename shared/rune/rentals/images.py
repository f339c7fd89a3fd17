"""What an image needs of the host that runs it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuNeeds:
    """The oldest GPU and driver on which an image's server uses the GPU.

    Attributes
    ----------
    compute_capability
        In hundredths, as Vast.ai has it: 890 is 8.9.
    cuda_version
        The newest CUDA that the driver must serve.
    """

    compute_capability: int
    cuda_version: float


OLLAMA = GpuNeeds(compute_capability=500, cuda_version=12.4)
"""Compute capability 5.0 and driver 550, which serves CUDA 12.4 (https://github.com/ollama/ollama/blob/main/docs/gpu.mdx,
September 2026). Below it Ollama runs on the CPU, and says so nowhere but in its log."""

_BY_IMAGE: tuple[tuple[re.Pattern[str], GpuNeeds], ...] = (
    # Tags for an older CUDA name it; without, vLLM from 0.20 and SGLang are built for 13.0
    # (https://github.com/vllm-project/vllm/issues/39878).
    (re.compile(r"(?:vllm|sglang)[^/]*:.*(?:cu|cuda-)12\.?9"), GpuNeeds(800, 12.9)),
    (re.compile(r"(?:vllm|sglang)[^/]*(?::|$)"), GpuNeeds(800, 13.0)),
)

_OLD_GPUS = 700
_OLD_GPUS_CUDA = 12.8
"""Compute capability 5.0 to 6.2 needs driver 570, which serves CUDA 12.8 (Ollama's page, as above)."""

_BLACKWELL = 1000
_BLACKWELL_CUDA = 12.8
"""The first CUDA for compute capability 10.0 and 12.0
(https://docs.nvidia.com/cuda/cuda-toolkit-release-notes, 12.8)."""


def find_gpu_needs(image: str) -> GpuNeeds:
    """Return what an image needs; one that is not known is taken for Ollama's, since its server must be Ollama."""
    return next((needs for pattern, needs in _BY_IMAGE if pattern.search(image)), OLLAMA)


def least_cuda_version(needs: GpuNeeds, compute_capability: int) -> float:
    """Return which CUDA the driver of a GPU must serve."""
    if compute_capability >= _BLACKWELL:
        return max(needs.cuda_version, _BLACKWELL_CUDA)
    return max(needs.cuda_version, _OLD_GPUS_CUDA) if compute_capability < _OLD_GPUS else needs.cuda_version

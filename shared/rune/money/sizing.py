"""What a model needs of a machine: from the catalog, from the caller, or from its name."""

import re

from rune.contracts.requests import LARGEST_VRAM_MB
from rune.errors import InvalidRequestError
from rune.money.catalog import CATALOG, SizedModel, find_model

_SIZE = re.compile(
    # Digits are ASCII. A size is no part of a longer number: 99999b is not 9999b, and 100x7b is not 7b.
    r"(?<!\d)(?<!\d\.)(?<!\dx)(?:(?P<experts>[0-9]{1,2})x)?(?P<billions>[0-9]{1,4}(?:\.[0-9]{1,3})?)b\b",
    re.IGNORECASE,
)
_BYTES_PER_PARAMETER = (
    (re.compile(r"fp16|bf16|f16"), 2.1),
    (re.compile(r"q8"), 1.15),
    (re.compile(r"q6"), 0.95),
    (re.compile(r"q5"), 0.85),
    (re.compile(r"fp32|f32"), 4.2),
)
_USUAL_BYTES_PER_PARAMETER = 0.72
"""Ollama's usual quantisation, q4_K_M: 4.9 GB for llama3.1:8b, 43 GB for 70b (ollama.com/library)."""

_BASE_MB = 2_000
"""For a small model's context and buffers."""

_LIKELY_GB_PER_BILLION = 0.61
"""Of a download in that quantisation: 4.9 GB for 8.03 billion parameters, 43 for 70.6, 243 for 405.9 (as above)."""

_USUAL_SHARE_OF_BOUND = 0.6
"""Of the upper bound of a download: 4.9 of 9 GB for llama3.1:8b, 243 of 292 for 405b."""

_KIB_PER_TOKEN = ((5, 144), (16, 200), (110, 384))
_MOST_KIB_PER_TOKEN = 512
"""Of models with up to so many billion parameters, at most: Qwen3-4B 144; Phi-4 (14B) 200; Gemma 2 27B 368;
Llama-3.1-405B 504. From their `config.json`, as `SizedModel.kib_per_token`."""


def size_model(model: str, min_vram_mb: int | None = None) -> SizedModel:
    """Return the model with the memory it needs.

    Raises
    ------
    InvalidRequestError
        `model_size_unknown`: neither the catalog, the caller nor the name gives the size.
    """
    known = find_model(model)
    if min_vram_mb is not None:
        return SizedModel(model, max(min_vram_mb, known.vram_mb if known else 0))
    if known is not None:
        return known
    estimated_mb = estimate_vram_mb(model)
    if estimated_mb is None:
        raise InvalidRequestError(
            f"RUNE does not know how large {model!r} is: say how much GPU memory it needs in min_vram_mb.",
            pointer="/min_vram_mb",
            code="model_size_unknown",
        )
    return SizedModel(model, estimated_mb)


def estimate_vram_mb(model: str) -> int | None:
    """Return the memory that a name such as `qwen3:14b-q8_0` or `mixtral:8x7b` implies, or None.

    Every expert counts in full, although experts share some weights. A size of zero, or one that needs more memory
    than a caller may ask for, is no size.
    """
    billions = _billions(model)
    if billions is None:
        return None
    gb_per_billion = _find_quantisation(model) or _USUAL_BYTES_PER_PARAMETER
    vram_mb = round(billions * gb_per_billion * 1000) + _BASE_MB
    return vram_mb if billions and vram_mb <= LARGEST_VRAM_MB else None


def estimate_weights_gb(model: SizedModel) -> float:
    """Return how much a model's download probably takes; `SizedModel.download_gb` is the most that it may take."""
    if model.weights_gb is not None:
        return model.weights_gb
    quantised = _find_quantisation(model.name)
    billions = _billions(model.name)
    if billions is None:
        return model.download_gb * _USUAL_SHARE_OF_BOUND
    return min(billions * (quantised or _LIKELY_GB_PER_BILLION), float(model.download_gb))


def context_vram_mb(model: SizedModel, context_tokens: int) -> int:
    """Return the memory that a context needs beyond the one that is included in the model's own."""
    more_tokens = max(0, context_tokens - model.context_tokens)
    kib_per_token = model.kib_per_token or _estimate_kib_per_token(model)
    return -(-more_tokens * kib_per_token // 1024)


def _estimate_kib_per_token(model: SizedModel) -> int:
    billions = _billions(model.name) or model.vram_mb / 1000 / _USUAL_BYTES_PER_PARAMETER
    return next((kib for most, kib in _KIB_PER_TOKEN if billions <= most), _MOST_KIB_PER_TOKEN)


def _billions(model: str) -> float | None:
    size = _SIZE.search(model.rpartition(":")[2]) or _SIZE.search(model)
    return None if size is None else float(size["billions"]) * int(size["experts"] or 1)


def _find_quantisation(model: str) -> float | None:
    return next((each for pattern, each in _BYTES_PER_PARAMETER if pattern.search(model.lower())), None)


SMALLEST_MODEL = CATALOG[-1]
"""What a rented machine gets where its caller names no model: the cheapest to rent for, and the default of RUNE's
clients."""

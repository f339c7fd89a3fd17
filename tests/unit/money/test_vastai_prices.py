import json
from datetime import date

import pytest
from pydantic import ValidationError

from rune.money.vastai_prices import (
    VASTAI_PRICES_PATH,
    BaselinePrice,
    VastaiPriceFile,
    find_baseline_price,
    is_gpu_named,
)


@pytest.mark.parametrize("asked", ["RTX 4090", "rtx4090", "rtx_4090", "RTX-4090"])
def test_price_is_found_however_a_gpu_is_spelled(asked: str) -> None:
    assert find_baseline_price(asked, 8_000) == BaselinePrice("RTX 4090", 1, 400_000, date(2026, 11, 30))


@pytest.mark.parametrize(
    ("gpu", "vram_mb", "found"),
    [
        # 24,564 MiB hold 22,330 and a tenth.
        ("rtx4090", 22_330, ("RTX 4090", 1, 400_000)),
        ("rtx4090", 22_332, ("RTX 4090", 2, 800_000)),
        ("a100", 8_000, ("A100 SXM4", 1, 760_000)),
        ("a100", 50_000, ("A100 PCIE", 1, 870_000)),
        ("h100", 75_000, ("H100 NVL", 1, 2_080_000)),
        ("h100", 74_000, ("H100 SXM", 1, 1_870_000)),
    ],
)
def test_price_is_of_as_many_gpus_as_hold_the_model(
    gpu: str, vram_mb: int, found: tuple[str, int, int]
) -> None:
    price = find_baseline_price(gpu, vram_mb)

    assert price is not None
    assert (price.gpu, price.gpu_count, price.micro_usd_per_hour) == found


@pytest.mark.parametrize("gpu", ["", "rtx", "RTX 40", "4090", "mi300x", "a1000"])
def test_price_is_unknown_of_what_is_no_gpu_of_the_table(gpu: str) -> None:
    assert find_baseline_price(gpu, 8_000) is None


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("A100 PCIE", "a100", True),
        ("H100 NVL", "h100 nvl", True),
        ("H100 NVL", "h100 sxm", False),
        ("RTX 4090D", "rtx 4090", False),
        ("RTX 6000Ada", "rtx 6000", False),
    ],
)
def test_gpu_is_named_by_its_name_or_without_its_form(name: str, asked: str, *, expected: bool) -> None:
    assert is_gpu_named(name, asked) is expected


@pytest.mark.parametrize("changes", [{"as_of": "soon"}, {"seen_in": ""}, {"gpus": []}, {"price": 1}])
def test_file_is_refused_when_it_is_wrong(changes: dict[str, object]) -> None:
    document = json.loads(VASTAI_PRICES_PATH.read_text()) | changes

    with pytest.raises(ValidationError):
        VastaiPriceFile.model_validate_json(json.dumps(document))

import json
from datetime import date

import pytest
from pydantic import ValidationError

from rune.money.catalog import CATALOG, SizedModel
from rune.money.cloud_prices import (
    CLOUD_PRICES_PATH,
    Cloud,
    CloudPrice,
    CloudPriceFile,
    find_cloud_price,
    read_cloud_prices,
)

CLOUDS: list[Cloud] = ["aws", "gcp", "azure"]


@pytest.mark.parametrize(
    ("cloud", "vram_mb", "instance", "micro_usd_per_hour"),
    [
        ("aws", 8_000, "g4dn.xlarge", 526_000),
        # 16,384 MiB hold 14,894 and a tenth, rounded up; not 14,895.
        ("aws", 14_894, "g4dn.xlarge", 526_000),
        ("aws", 14_895, "g6.xlarge", 804_800),
        ("aws", 28_000, "g6e.xlarge", 1_861_000),
        ("aws", 50_000, "g4dn.12xlarge", 3_912_000),
        ("aws", 260_000, "p4d.24xlarge", 21_957_642),
        ("gcp", 8_000, "g2-standard-4", 706_833),
        ("gcp", 50_000, "a2-ultragpu-1g", 5_068_798),
        ("gcp", 260_000, "a2-ultragpu-4g", 20_275_192),
        ("azure", 8_000, "Standard_NC4as_T4_v3", 526_000),
        ("azure", 50_000, "Standard_NC24ads_A100_v4", 3_673_000),
        ("azure", 260_000, "Standard_NC96ads_A100_v4", 19_108_000),
    ],
)
def test_price_is_the_cheapest_machines_that_holds_the_model(
    cloud: Cloud, vram_mb: int, instance: str, micro_usd_per_hour: int
) -> None:
    found = find_cloud_price(cloud, vram_mb)

    assert found is not None
    assert (found.instance, found.micro_usd_per_hour) == (instance, micro_usd_per_hour)


def test_price_says_where_and_when_it_was_stated() -> None:
    assert find_cloud_price("azure", 60_000) == CloudPrice(
        cloud="azure",
        region="eastus",
        instance="Standard_NC24ads_A100_v4",
        gpu="A100 PCIe",
        gpu_count=1,
        vram_mb=81_920,
        micro_usd_per_hour=3_673_000,
        as_of=date(2026, 11, 9),
        source="https://azure.microsoft.com/pricing/details/virtual-machines/linux/",
    )


@pytest.mark.parametrize("cloud", CLOUDS)
def test_price_is_unknown_when_no_machine_of_the_table_holds_the_model(cloud: Cloud) -> None:
    assert find_cloud_price(cloud, 2_000_000) is None


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("model", CATALOG, ids=lambda model: model.name)
def test_every_cloud_has_a_machine_for_every_model_of_the_catalog(cloud: Cloud, model: SizedModel) -> None:
    assert find_cloud_price(cloud, model.vram_mb) is not None


def test_every_cloud_is_priced_in_one_region_and_no_machine_twice() -> None:
    prices = read_cloud_prices()

    assert {each.cloud: each.region for each in prices} == {
        "aws": "us-east-1",
        "gcp": "us-central1",
        "azure": "eastus",
    }
    assert len({(each.cloud, each.region) for each in prices}) == len(CLOUDS)
    assert len({each.instance for each in prices}) == len(prices)


@pytest.mark.parametrize(
    "changes",
    [
        {"cloud": "oracle"},
        {"usd_per_hour": 0.526},
        {"usd_per_hour": "0,526"},
        {"as_of": "yesterday"},
        {"source": ""},
        {"seen_in": ""},
        {"gpu_count": 0},
        {"spot": "0.2"},
    ],
)
def test_file_is_refused_when_a_row_is_wrong(changes: dict[str, object]) -> None:
    document = json.loads(CLOUD_PRICES_PATH.read_text())
    document["machines"][0] |= changes

    with pytest.raises(ValidationError):
        CloudPriceFile.model_validate_json(json.dumps(document))

"""Prices of tokens: the rows of the file, and which of them holds for a model."""

from datetime import date

import pytest

from local.simulators.bedrock.catalog import MODELS
from rune.money.token_prices import TokenPrice, find_list_price, highest_price, prices_read_on

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
LLAMA = "meta.llama3-8b-instruct-v1:0"

# As on https://aws.amazon.com/bedrock/pricing/, in dollars for a million tokens.
KNOWN = [
    (HAIKU, "us-east-1", 0.25, 1.25),
    (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", "eu-west-1", 0.25, 1.25),
    ("anthropic.claude-3-7-sonnet-20250219-v1:0", "us-east-1", 3.0, 15.0),
    ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "us-east-1", 3.0, 15.0),
    ("deepseek.r1-v1:0", "us-east-1", 1.35, 5.4),
    (LLAMA, "us-east-1", 0.30, 0.60),
    (LLAMA, "eu-west-2", 0.39, 0.78),
    ("amazon.nova-micro-v1:0", "us-east-1", 0.035, 0.14),
    (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{LLAMA}", "us-east-1", 0.50, 1.01),
]


@pytest.mark.parametrize(("model", "region", "input_usd", "output_usd"), KNOWN)
def test_model_has_the_price_of_its_region(
    model: str, region: str, input_usd: float, output_usd: float
) -> None:
    assert find_list_price(model, region) == TokenPrice.of_usd(input_usd, output_usd)


def test_region_without_a_row_counts_as_the_dearest() -> None:
    # Llama 3 8B is dearest in São Paulo, of the regions that are not GovCloud's.
    assert find_list_price(LLAMA, "ap-east-1") == TokenPrice.of_usd(0.50, 1.01)


@pytest.mark.parametrize(
    ("model", "region"),
    [
        ("example.unknown-v1:0", "us-east-1"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl", "us-east-1"),
        ("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl", "us-east-1"),
        ("us-gov.deepseek.r1-v1:0", "us-gov-west-1"),
        ("deepseek.r1-v1:0", "us-gov-west-1"),
        ("amazon.titan-embed-text-v2:0", "us-east-1"),
    ],
)
def test_what_is_not_in_the_file_has_no_price(model: str, region: str) -> None:
    assert find_list_price(model, region) is None


def test_call_is_rounded_up_to_a_millionth_of_a_dollar() -> None:
    price = TokenPrice.of_usd(0.25, 1.25)

    assert price.cost_micro_usd(0, 0) == 0
    assert price.cost_micro_usd(1, 0) == 1
    assert price.cost_micro_usd(8, 8) == 2 + 10
    assert price.cost_micro_usd(1_000_000, 1_000_000) == 1_500_000


def test_long_prompt_makes_the_whole_call_dearer() -> None:
    price = find_list_price(f"us.{SONNET_4_5}", "us-east-1")

    assert price is not None
    assert price.cost_micro_usd(200_000, 1000) == 660_000 + 16_500
    assert price.cost_micro_usd(200_001, 1000) == 1_320_007 + 24_750


def test_highest_price_is_the_highest_of_each_part() -> None:
    one, other = TokenPrice(3, 10), TokenPrice(2, 20, 100, 4, 5)

    assert highest_price([one, other]) == TokenPrice(3, 20, 100, 4, 20)
    assert highest_price([one]) == one
    assert highest_price([]) is None


def test_every_simulated_model_that_writes_has_a_price() -> None:
    unpriced = [model.id for model in MODELS if model.writes and not find_list_price(model.id, "us-east-1")]

    assert unpriced == []


def test_prices_have_a_day() -> None:
    assert prices_read_on() >= date(2026, 11, 30)

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.bench.numerals import readings_of_last_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", "42"),
        ("First 7, then: the answer is 42.", "42"),
        ("**42** apples", "42"),
        (r"\boxed{42}", "42"),
        ("答案是42。", "42"),
        ("42km", "42"),
        ("-5", "-5"),
        ("x=-5", "-5"),
        ("\N{MINUS SIGN}5", "-5"),
        ("+5", "5"),
        ("-$5", "-5"),
        ("7-5", "5"),
        ("2024-01-05", "5"),
        ("3.25", "3.25"),
        (".5", "0.5"),
        ("007", "7"),
        ("1,234,567.89", "1234567.89"),
        ("1'234", "1234"),
        ("1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567", "1234567"),
        ("$1,234.50", "1234.50"),
        ("1 234", "234"),
        ("1, 2, 3", "3"),
        ("1,2345", "2345"),
        ("1.5e3", "1500"),
        ("1.5E-3", "0.0015"),
        ("-1.5e\N{MINUS SIGN}3", "-0.0015"),
        ("6.02 x 10^23 per mole", "6.02e23"),
        ("6.02 \N{MULTIPLICATION SIGN} 10²³", "6.02e23"),
        ("1.5*10**-3", "0.0015"),
        (r"$1.5 \times 10^{-3}$", "0.0015"),
        ("10⁶", "1e6"),
        ("25 m²", "25"),
        ("25 m^2", "25"),
        ("25 m^{2}", "25"),
        ("42 (by GPT4)", "42"),
        ("٤٢", "42"),
    ],
)
def test_the_last_number_is_read_as_people_write_it(text: str, expected: str) -> None:
    assert readings_of_last_number(text) == (Decimal(expected),)


@pytest.mark.parametrize("text", ["50%", "50 %", r"50\%", "a rise of 50% or so"])
def test_a_per_cent_sign_may_be_read_or_not(text: str) -> None:
    assert readings_of_last_number(text) == (Decimal(50), Decimal("0.5"))


@pytest.mark.parametrize("text", ["", "none", "GPT4", "1e99999999999999999999", "9" * 401, "-", "."])
def test_no_number_has_no_reading(text: str) -> None:
    assert readings_of_last_number(text) == ()


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_every_decimal_is_read_back(number: Decimal) -> None:
    assert readings_of_last_number(f"It is {number:f}.") == (number,)
    assert readings_of_last_number(f"It is {number:,f}.") == (number,)
    assert readings_of_last_number(f"It is {number:e}.") == (number,)


@given(st.text(alphabet="0123456789,.-+eEx*^{}%\\ 10⁻³", max_size=200))
def test_any_text_has_finite_readings(text: str) -> None:
    assert all(reading.is_finite() for reading in readings_of_last_number(text))

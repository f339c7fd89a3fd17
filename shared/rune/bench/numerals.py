"""Numbers as people and models write them."""

import re
from collections import deque
from decimal import Context, Decimal

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_RAISED = re.compile(r"(?<=10)[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_MAX_DIGITS = 400
_EXACT = Context(prec=_MAX_DIGITS, traps=[])

_MINUS = "\N{MINUS SIGN}"
_SIGN = f"[-+{_MINUS}]"
_CURRENCY = "[$\N{EURO SIGN}\N{POUND SIGN}\N{YEN SIGN}]"
_SEPARATOR = "[,'\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}]"
_TIMES = "(?:[*x\N{MULTIPLICATION SIGN}\N{DOT OPERATOR}\N{MIDDLE DOT}]|\\\\times|\\\\cdot)"
_TEN_TO = r"10(?:\^|\*\*)\{?"
_GROUPED = rf"\d{{1,3}}(?P<separator>{_SEPARATOR})\d{{3}}(?:(?P=separator)\d{{3}})*(?!\d)(?:\.\d+)?"
_DIGITS = rf"(?P<digits>{_GROUPED}|\d+(?:\.\d+)?|\.\d+)"
_EXPONENT = rf"(?:[eE](?P<exponent>{_SIGN}?\d+)|\s?{_TIMES}\s?{_TEN_TO}(?P<power>{_SIGN}?\d+)\}}?)?"
_NUMBER = re.compile(
    # Not the 4 of GPT4 or of x^4, nor the rest of a longer number; in 2024-01 and 7-3 the dash is no sign.
    rf"(?<![A-Za-z0-9^])(?<!\^\{{)(?P<sign>(?<![\d)\]]){_SIGN})?{_CURRENCY}?"
    rf"(?:{_TEN_TO}(?P<only_power>{_SIGN}?\d+)\}}?|{_DIGITS}{_EXPONENT})(?P<percent>\s?\\?%)?"
)


def readings_of_last_number(text: str) -> tuple[Decimal, ...]:
    """Return what the last number of a text can mean: one value, two where a per cent sign follows, else none.

    Understood are signs (also U+2212), decimal points, groups of three digits parted by commas, apostrophes or
    narrow spaces, exponents (`1.5e-3`, `1.5 x 10^-3`, also raised and in LaTeX) and currency signs before. A comma
    is never a decimal point, a fraction is two numbers, and an exponent of another base than 10 is none.
    """
    # The last of many, without keeping the others.
    matches = deque(_NUMBER.finditer(_lower_raised(text)), maxlen=1)
    if not matches:
        return ()
    last = matches[0]
    digits = re.sub(r"[^\d.]", "", last["digits"] or "1")
    if len(digits) > _MAX_DIGITS:
        return ()
    exponent = last["exponent"] or last["power"] or last["only_power"] or "0"
    sign = last["sign"] or ""
    value = _EXACT.create_decimal(f"{sign}{digits}e{exponent}".replace(_MINUS, "-"))
    if not value.is_finite():
        return ()
    return (value, _EXACT.scaleb(value, -2)) if last["percent"] else (value,)


def _lower_raised(text: str) -> str:
    """Return the text with raised digits as an exponent: 10⁻³ as 10^-3."""
    return _RAISED.sub(lambda raised: "^" + raised[0].translate(_SUPERSCRIPTS), text)

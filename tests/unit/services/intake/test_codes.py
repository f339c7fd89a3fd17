import re
from pathlib import Path

import pytest

from rune.errors import NotJsonError, TenantUnknownError

ROOT = Path(__file__).parents[4]
SOURCES = sorted((ROOT / "shared/rune/services/intake").glob("*.py"))
WRITTEN = re.compile(r'code="(\w+)"|Problem\(\d+, "(\w+)"')
PAGES = "".join((ROOT / "docs" / name).read_text() for name in ("triggers.md", "api.md"))


def codes() -> set[str]:
    """Return the codes that are given to refusals of intakes alone."""
    found = {
        name for path in SOURCES for names in WRITTEN.findall(path.read_text()) for name in names if name
    }
    return found | {TenantUnknownError.code, NotJsonError.code}


@pytest.mark.parametrize("code", sorted(codes()))
def test_code_is_described(code: str) -> None:
    assert f"`{code}`" in PAGES


def test_codes_are_found() -> None:
    assert {"foreign_envelope", "source_unknown", "lines_refused"} <= codes()

"""The table of scopes in docs/api.md, printed by `PYTHONPATH=shared:functions python -m tests.scope_docs`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from api.scopes import NEEDED, Call
from rune.tenants.tokens import Scope

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
BEGIN = "<!-- printed by tests/scope_docs.py from api.scopes -->"
END = "<!-- end of the scopes -->"

OTHERS = {Scope.READ: "every other GET", Scope.MANAGE: "every other POST, PUT, PATCH and DELETE"}


def describe() -> str:
    """Return the table: a line for each scope."""
    lines = [f"| `{scope}` | {_calls(scope)} |" for scope in Scope]
    return "\n".join(["| scope | calls |", "|---|---|", *lines])


def insert(page: str) -> str:
    """Return the page with the table of today between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{describe()}\n{END}{after}"


def _calls(scope: Scope) -> str:
    own = _named(call for call, needed in NEEDED.items() if needed[0] is scope)
    plans = _named(call for call, needed in NEEDED.items() if scope in needed[1:])
    parts = [*own, *(f"{call} with `dry_run`" for call in plans)]
    return ", ".join([*parts, OTHERS[scope]] if scope in OTHERS else parts)


def _named(calls: Iterable[Call]) -> list[str]:
    return [f"`{method} {path}`" for method, path in calls]


if __name__ == "__main__":
    PAGE.write_text(insert(PAGE.read_text()))

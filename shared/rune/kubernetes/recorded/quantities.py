"""Quantities as Kubernetes writes them: `250m`, `64Mi`, `1e3`."""

import re

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_QUANTITY = re.compile(r"^([0-9.]+)(n|u|m|k|M|G|T|Ki|Mi|Gi|Ti)?$")


def read_quantity(text: str) -> float:
    """Return a quantity as a number: cores, or bytes; 0 for what is none."""
    found = _QUANTITY.match(text)
    if not found:
        return 0.0
    return float(found[1]) * {**_BINARY, **_DECIMAL}[found[2] or ""]

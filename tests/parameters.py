"""Parameters of SSM as an operator writes them, and a switch that makes them unreachable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import boto3
from botocore.exceptions import EndpointConnectionError


def a_hash(token: str) -> str:
    """Return a token as a tenant's document holds it."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


class Ssm:
    """A client of moto's SSM, which is emptied first.

    Attributes
    ----------
    asked
        Names that were asked for.
    """

    def __init__(self) -> None:
        self._client: Any = boto3.client("ssm")
        self.is_down = False
        self.asked: list[str] = []
        names = [found["Name"] for found in self._client.describe_parameters()["Parameters"]]
        if names:
            self._client.delete_parameters(Names=names)

    @staticmethod
    def write(name: str, value: str | Mapping[str, object]) -> None:
        """Write a SecureString; a mapping as JSON."""
        client: Any = boto3.client("ssm")
        text = value if isinstance(value, str) else json.dumps(value)
        client.put_parameter(Name=name, Value=text, Type="SecureString", Overwrite=True)

    def delete(self, name: str) -> None:
        """Remove a parameter."""
        self._client.delete_parameter(Name=name)

    def get_parameter(self, **named: object) -> dict[str, dict[str, object]]:
        """Answer as boto3's client does."""
        self.asked.append(str(named["Name"]))
        if self.is_down:
            raise EndpointConnectionError(endpoint_url="https://ssm.eu-central-1.amazonaws.com")
        return cast("dict[str, dict[str, object]]", self._client.get_parameter(**named))

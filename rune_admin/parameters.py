"""Tenants' documents in the parameter store, written so that of two operators neither loses a change.

The parameter store has no conditional write. So a row of the table is the lock between two runs of this tool.
Others may write with AWS's own tools meanwhile: the parameter store numbers each write, and one whose number is not
the one after what was read has overwritten another's. The change is then made again on what the other wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rune_admin.documents import Document, parse, to_text
from rune_admin.errors import OperatorError
from rune_admin.locks import Lock

if TYPE_CHECKING:
    from rune_admin.deployment import SsmClient

TRIES = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it stands there; `version` counts its writes from 1."""

    tenant: str
    text: str
    version: int


class Documents:
    """The documents of one deployment.

    Parameters
    ----------
    key_arn
        The customer's key that encrypts them; None for the one that AWS manages.
    """

    def __init__(self, ssm: SsmClient, path: str, lock: Lock, key_arn: str | None = None) -> None:
        self._ssm = ssm
        self._lock = lock
        self._path = path
        self._key_arn = key_arn

    def list_all(self) -> Iterator[Stored]:
        """Yield all documents, by tenant."""
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(
            Path=self._path, Recursive=False, WithDecryption=True
        )
        found = {each["Name"]: each for page in pages for each in page["Parameters"]}
        for name in sorted(found):
            tenant = name.removeprefix(f"{self._path}/")
            yield Stored(tenant, found[name]["Value"], found[name]["Version"])

    def find(self, tenant: str, version: int | None = None) -> Stored | None:
        """Return a tenant's document, as it is or as an earlier write left it; None where there is none."""
        suffix = "" if version is None else f":{version}"
        try:
            found = self._ssm.get_parameter(Name=f"{self._path}/{tenant}{suffix}", WithDecryption=True)
        except (self._ssm.exceptions.ParameterNotFound, self._ssm.exceptions.ParameterVersionNotFound):
            return None
        return Stored(tenant, found["Parameter"]["Value"], found["Parameter"]["Version"])

    def read(self, tenant: str) -> Stored:
        """Return a tenant's document; raises OperatorError where there is none."""
        found = self.find(tenant)
        if found is None:
            raise OperatorError(f"There is no document of {tenant!r}. `tenant add` writes one.")
        return found

    def add(self, tenant: str, document: Document) -> None:
        """Write a tenant's first document; raises OperatorError where there is one already."""
        try:
            self._put(tenant, to_text(document), overwrite=False)
        except self._ssm.exceptions.ParameterAlreadyExists:
            raise OperatorError(f"There is a document of {tenant!r} already.") from None

    def change(self, tenant: str, make: Callable[[Document], Document]) -> Document:
        """Make one change of a document, beside changes that others make; return it as written.

        Raises
        ------
        OperatorError
            There is no document, the change is refused, or others wrote at each of several tries.
        """
        with self._lock.held(tenant):
            based_on = self.read(tenant)
            for _ in range(TRIES):
                document = make(parse(based_on.text))
                written = self._put(tenant, to_text(document), overwrite=True)
                if written == based_on.version + 1:
                    return document
                based_on = self._overwritten(tenant, written)
        raise OperatorError("Others change the document all the time; look at it with `tenant show`.")

    def replace(self, tenant: str, document: Document, version: int) -> int:
        """Write a whole document in place of the one of a version; return the new version.

        Raises
        ------
        OperatorError
            Others have written since. What they wrote stands there.
        """
        with self._lock.held(tenant):
            found = self.read(tenant)
            if found.version != version:
                raise OperatorError(
                    f"The document is in version {found.version}, and yours is made of version {version}: "
                    "look at it again with `tenant show`."
                )
            written = self._put(tenant, to_text(document), overwrite=True)
            if written != version + 1:
                other = self._overwritten(tenant, written)
                self._put(tenant, other.text, overwrite=True)
                raise OperatorError(
                    "Somebody else wrote at the same moment, and that is what stands there now."
                )
            return written

    def _overwritten(self, tenant: str, written: int) -> Stored:
        """Return what a write has overwritten, with the version that the next one is compared with."""
        other = self.find(tenant, written - 1)
        if other is None:
            raise OperatorError(f"Version {written - 1} of the document was overwritten, and cannot be read.")
        return Stored(tenant, other.text, written)

    def put_secret(self, name: str, text: str) -> None:
        """Write a parameter beside the documents, in place of what stood there."""
        self._write(name, text, overwrite=True)

    def delete_secret(self, name: str) -> bool:
        """Delete a parameter beside the documents; return whether it was there."""
        try:
            self._ssm.delete_parameter(Name=name)
        except self._ssm.exceptions.ParameterNotFound:
            return False
        return True

    def _put(self, tenant: str, text: str, *, overwrite: bool) -> int:
        return self._write(f"{self._path}/{tenant}", text, overwrite=overwrite)

    def _write(self, name: str, text: str, *, overwrite: bool) -> int:
        request: dict[str, object] = {
            "Name": name,
            "Value": text,
            "Type": "SecureString",
            "Overwrite": overwrite,
            # More than 4 KB need the advanced tier, and a parameter that has it keeps it.
            "Tier": "Intelligent-Tiering",
        }
        if self._key_arn is not None:
            request["KeyId"] = self._key_arn
        version: int = self._ssm.put_parameter(**request)["Version"]
        return version

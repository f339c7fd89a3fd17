"""Reading a cluster for the tools: pages, namespaces, and what each status means."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rune.errors import ServerAccessError, ServerOverloadedError
from rune.kubernetes.access import Cluster, ClusterAnswer
from rune.kubernetes.kinds import NAMESPACE, WELL_KNOWN, Kind, find_kind, read_discovery, read_resource_list
from rune.kubernetes.masking import REFUSED_KINDS, mask_literals, shorten
from rune.kubernetes.paths import group_path, log_path
from rune.kubernetes.tools.errors import ToolError
from rune.llm.fields import as_list, as_object, parse_json, read_count, read_text

JSON = "application/json"
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

_PAGE = 250
_FULL_PAGE = 100
"""Of rows with their object's metadata, which are some 3 KB each."""
_MAX_PAGES = 8
_SMALLEST_PAGE = 10
_MAX_MESSAGE_CHARS = 600
_MAX_AT_ONCE = 4
"""Requests at a time: service accounts share the API server's lowest ordinary priority."""

_OK, _FORBIDDEN, _NOT_FOUND, _GONE, _TOO_MANY, _SERVER_FAILED = 200, 403, 404, 410, 429, 500
_UNAUTHORIZED = 401
_MAX_GROUPS = 60


@dataclass(slots=True)
class Listing:
    """Objects of one kind, or rows of a table.

    Attributes
    ----------
    columns
        Of a table; empty for objects.
    total
        How many there are, of which `items` may be the first; at least so many where `is_complete` is False.
    denied
        Why a part was not read.
    """

    items: list[Mapping[str, object]] = field(default_factory=list)
    columns: list[Mapping[str, object]] = field(default_factory=list)
    total: int = 0
    is_complete: bool = True
    denied: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Pages:
    """How a list is asked for, page by page."""

    query: Mapping[str, str]
    accept: str
    size: int
    max_count: int = _MAX_PAGES


class ClusterReader:
    """A cluster, read for tools.

    Parameters
    ----------
    namespaces
        Which may be read; none for all of them.
    secrets
        The job's own credentials, taken out of every answer before anything of it is cut.
    """

    def __init__(
        self, cluster: Cluster, namespaces: Sequence[str] = (), *, secrets: Sequence[str] = ()
    ) -> None:
        self._cluster = cluster
        self._secrets = tuple(secrets)
        self.namespaces = tuple(namespaces)
        self._places = asyncio.Semaphore(_MAX_AT_ONCE)
        self._discovered: Sequence[Kind] | None = None

    def scopes(self, namespace: str | None) -> tuple[str | None, ...]:
        """Return the namespaces to be read, one after the other; None is all of them in one request.

        Raises
        ------
        ToolError
            The namespace is none that may be read.
        """
        if namespace in {None, "", "*"}:
            return self.namespaces or (None,)
        if self.namespaces and namespace not in self.namespaces:
            allowed = ", ".join(self.namespaces)
            raise ToolError("refused", f"The operator has opened these namespaces alone: {allowed}.")
        return (namespace,)

    async def find_kind(self, text: str) -> Kind:
        """Return the kind that a model names.

        Raises
        ------
        ToolError
            There is none, with the nearest names; or it is one that is never read.
        """
        asked = text.strip()
        if asked.partition(".")[0].lower() in REFUSED_KINDS:
            raise ToolError(
                "refused",
                "Secrets are never read. A missing one is named in the events and the status of its pods.",
            )
        if (known := find_kind(asked, WELL_KNOWN)) is not None:
            return known
        if self._discovered is None:
            self._discovered = await self._discover()
        found = find_kind(asked, self._discovered)
        if found is None:
            raise UnknownNameError(
                "kind", asked, tuple(sorted({kind.name for kind in (*WELL_KNOWN, *self._discovered)}))
            )
        if found.plural in REFUSED_KINDS:
            raise ToolError("refused", "Secrets are never read.")
        return found

    async def get_object(self, path: str) -> Mapping[str, object]:
        """Return one object.

        Raises
        ------
        ToolError
            Of any code.
        """
        answer = await self._get(path, {}, JSON)
        if answer.is_cut:
            raise ToolError("too_large", "The object is larger than what is read at once.")
        return _document(answer)

    async def get_log(self, namespace: str, pod: str, query: Mapping[str, str]) -> ClusterAnswer:
        """Return the answer to a read of a pod's log, whose body is text.

        Raises
        ------
        ToolError
            Of any code.
        """
        return await self._get(log_path(namespace, pod), query, "*/*")

    async def list_objects(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        page: int = _PAGE,
        max_pages: int = _MAX_PAGES,
    ) -> Listing:
        """Return objects of a kind as they are.

        Raises
        ------
        ToolError
            Nothing was read; what was refused beside something that was read is in `denied`.
        """
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        return await self._list(kind, namespace, _Pages(query, JSON, page, max_pages))

    async def list_rows(
        self, kind: Kind, namespace: str | None, *, label_selector: str = "", field_selector: str = ""
    ) -> Listing:
        """Return the rows of the server's own table, in the words of kubectl.

        Each has `cells`, and across namespaces the object's `metadata`.

        Raises
        ------
        ToolError
            As `list_objects`.
        """
        is_across = kind.is_namespaced and None in self.scopes(namespace)
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            includeObject="Metadata" if is_across else "None",
        )
        return await self._list(kind, namespace, _Pages(query, _TABLE, _FULL_PAGE if is_across else _PAGE))

    async def require_namespace(self, namespace: str) -> None:
        """Refuse a namespace that is not there: a list of one is empty, and no error.

        Raises
        ------
        ToolError
            There is none of this name; the nearest are told.
        """
        try:
            await self.get_object(NAMESPACE.path(None, namespace))
        except ToolError as error:
            if error.code == "not_found":
                known = await self.names_of(NAMESPACE, None)
                raise UnknownNameError("namespace", namespace, known) from None

    async def names_of(self, kind: Kind, namespace: str | None) -> tuple[str, ...]:
        """Return names of objects, none where they may not be read."""
        try:
            listing = await self.list_rows(kind, namespace)
        except ToolError:
            return ()
        return tuple(row_name(row) for row in listing.items)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._cluster.aclose()

    async def _list(self, kind: Kind, namespace: str | None, pages: _Pages) -> Listing:
        scopes = self.scopes(namespace) if kind.is_namespaced else (None,)
        whole = Listing()
        first_error: ToolError | None = None
        for scope in scopes:
            try:
                part = await self._read_pages(kind.path(scope), pages)
            except ToolError as error:
                first_error = first_error or error
                whole.denied.append(error.sentence)
                continue
            for item in part.items:
                _place(item, scope)
            whole.items += part.items
            whole.columns = part.columns or whole.columns
            whole.total += part.total
            whole.is_complete &= part.is_complete
        if first_error is not None and len(whole.denied) == len(scopes):
            raise first_error
        return whole

    async def _read_pages(self, path: str, pages: _Pages) -> Listing:
        """Return the pages together. A list that has become too old is begun again, once."""
        for is_last_try in (False, True):
            listing = Listing()
            expired = False
            async for answer in self._answers(path, pages):
                expired = answer is None
                if answer is not None:
                    _add(listing, _document(answer))
            if not expired:
                return listing
            if is_last_try:
                listing.is_complete = False
                return listing
        raise AssertionError("the last try returns")

    async def _answers(self, path: str, pages: _Pages) -> AsyncIterator[ClusterAnswer | None]:
        """Give each page's answer; None where the place to go on has expired."""
        following, page = "", pages.size
        for _ in range(pages.max_count):
            asked = {**pages.query, "limit": str(page), **_query(**{"continue": following})}
            answer = await self._get(path, asked, pages.accept, may_be_gone=bool(following))
            while answer.is_cut and page > _SMALLEST_PAGE:
                page = max(_SMALLEST_PAGE, page // 5)
                answer = await self._get(
                    path, {**asked, "limit": str(page)}, pages.accept, may_be_gone=bool(following)
                )
            if answer.is_cut:
                raise ToolError("too_large", f"{page} of these objects are larger than what is read at once.")
            if answer.status == _GONE:
                yield None
                return
            yield answer
            following = read_text(as_object(_document(answer).get("metadata")), "continue")
            if not following:
                return

    async def _get(
        self, path: str, query: Mapping[str, str], accept: str, *, may_be_gone: bool = False
    ) -> ClusterAnswer:
        async with self._places:
            answer = await self._cluster.get(path, query, accept=accept)
        if self._secrets:
            text = answer.body.decode("utf-8", "replace")
            answer = replace(answer, body=mask_literals(text, self._secrets).encode("utf-8", "replace"))
        if answer.status != _OK and not (may_be_gone and answer.status == _GONE):
            raise _failure(answer)
        return answer

    async def _discover(self) -> Sequence[Kind]:
        kinds: list[Kind] = []
        for path in ("/api", "/apis"):
            document = _document(await self._get(path, {}, _DISCOVERY))
            if "items" in document:
                kinds += read_discovery(document)
            else:
                kinds += await self._discover_old(document)
        return kinds

    async def _discover_old(self, document: Mapping[str, object]) -> Sequence[Kind]:
        """Return the kinds as servers before 1.27 tell them: one list for each group's preferred version."""
        versions = [("", str(each)) for each in as_list(document.get("versions"))]
        for each in as_list(document.get("groups"))[:_MAX_GROUPS]:
            preferred = as_object(as_object(each).get("preferredVersion"))
            versions.append((read_text(as_object(each), "name"), read_text(preferred, "version")))
        kinds: list[Kind] = []
        for group, version in versions:
            try:
                listed = _document(await self._get(group_path(group, version), {}, JSON))
            except ToolError:
                continue
            kinds += read_resource_list(listed, group, version)
        return kinds


class UnknownNameError(ToolError):
    """A name that a model gave is none of the cluster's.

    Attributes
    ----------
    known
        Of which the nearest are told.
    """

    def __init__(self, what: str, name: str, known: Sequence[str], place: str = "") -> None:
        super().__init__("not_found", f"There is no {what} {name!r}{place}.")
        self.name = name
        self.known = tuple(known)


def row_name(row: Mapping[str, object]) -> str:
    """Return the name of a table's row, or of an object."""
    if cells := as_list(row.get("cells")):
        return str(cells[0])
    return read_text(as_object(row.get("metadata")), "name")


def row_namespace(row: Mapping[str, object]) -> str:
    """Return the namespace of a table's row, or of an object; empty for none."""
    holder = as_object(row.get("object")) if "cells" in row else row
    return read_text(as_object(holder.get("metadata")), "namespace")


def _place(item: Mapping[str, object], scope: str | None) -> None:
    """Write the namespace to a row that was read without its object."""
    if scope is not None and "cells" in item and isinstance(item, dict) and not row_namespace(item):
        item["object"] = {"metadata": {"namespace": scope}}


def _query(**terms: str) -> dict[str, str]:
    return {key: value for key, value in terms.items() if value}


def _document(answer: ClusterAnswer) -> Mapping[str, object]:
    try:
        document = parse_json(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ToolError("unavailable", "The server answered with something other than JSON.")
    return document


def _add(listing: Listing, document: Mapping[str, object]) -> None:
    is_table = read_text(document, "kind") == "Table"
    members = [as_object(each) for each in as_list(document.get("rows" if is_table else "items"))]
    listing.items += members
    if is_table and not listing.columns:
        listing.columns = [as_object(each) for each in as_list(document.get("columnDefinitions"))]
    metadata = as_object(document.get("metadata"))
    # What remains is told without selectors alone, so a list may go on with an unknown rest.
    remaining = read_count(metadata, "remainingItemCount")
    listing.total = len(listing.items) + (remaining or 0)
    listing.is_complete = not read_text(metadata, "continue") or remaining is not None


def _failure(answer: ClusterAnswer) -> Exception:
    status, message, details = answer.status, *_told(answer)
    if status == _UNAUTHORIZED:
        return ServerAccessError(
            "The cluster does not accept the credential: its time is over, or it was revoked."
        )
    if status == _TOO_MANY:
        wait = answer.retry_after_seconds
        if wait is None:
            wait = read_count(details, "retryAfterSeconds")
        return ServerOverloadedError("The cluster's API asks to wait.", retry_after_seconds=wait)
    if status == _FORBIDDEN:
        return ToolError(
            "forbidden", f"{message} This may not be read with the credential; do not ask again."
        )
    if status in {_NOT_FOUND, _GONE}:
        return ToolError("not_found", message)
    if status >= _SERVER_FAILED:
        return ToolError("unavailable", f"The API answered {status}: {message}")
    return ToolError("rejected", f"The API answered {status}: {message}")


def _told(answer: ClusterAnswer) -> tuple[str, Mapping[str, object]]:
    """Return what a Status says, or the text of a load balancer."""
    try:
        document = as_object(parse_json(answer.body))
    except ValueError:
        document = {}
    message = read_text(document, "message")
    if not message:
        text = answer.body.decode("utf-8", "replace")
        message = "an HTML page" if text.lstrip().startswith("<") else text
    return shorten(message, _MAX_MESSAGE_CHARS) or "no reason given", as_object(document.get("details"))

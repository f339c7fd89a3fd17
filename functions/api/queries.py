"""Queries that are held to their members, as bodies are to their fields; in both each name stands once."""

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any, get_args, get_origin

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from api.response_headers import SECRETIVE, not_stored
from api.scopes import needed_scopes, require
from rune.errors import InvalidRequestError
from rune.json_members import once_each

_LINK = "link"
"""Stands in for a token at what links may open (`rune.services.links`), whatever the route itself reads."""

_LONGEST_SHOWN = 60


class _StrictRequest(Request):
    """A request whose body names each member of an object once; of two, the last would count without a word."""

    async def json(self) -> object:
        """Return the body's value; raises RepeatedMemberError, and ValueError for what is no JSON."""
        return json.loads(await self.body(), object_pairs_hook=once_each)


class StrictRoute(APIRoute):
    """A route that wants a scope of the caller's token, and refuses members of the query that it does not declare.

    Those that come twice are refused too. A misspelt one would be answered with something else than was asked for.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; raises InsufficientScopeError, or InvalidRequestError for its query."""
        is_mine = scope["method"] in (self.methods or ())
        if is_mine:
            require(scope, *needed_scopes(scope["method"], self.path))
            if (scope["method"], self.path) in SECRETIVE:
                send = not_stored(send)
        if scope["query_string"] and is_mine:
            query = QueryParams(scope["query_string"])
            _refuse(Counter(name for name, _ in query.multi_items()), self.query_members, scope)
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request, with the body read strictly."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer

        async def answer_strictly(request: Request) -> Response:
            return await answer(_StrictRequest(request.scope, request.receive))

        return answer_strictly

    @cached_property
    def query_members(self) -> Mapping[str, bool]:
        """The names of the members, and whether each may come several times."""
        declared = self.dependant.query_params
        return {each.alias: _is_list(each.field_info.annotation) for each in declared}


def _refuse(counts: Mapping[str, int], members: Mapping[str, bool], scope: Scope) -> None:
    """Raise InvalidRequestError for the first member that is unknown or comes too often."""
    for name, count in counts.items():
        shown = name[:_LONGEST_SHOWN]
        pointer = "/" + shown.replace("~", "~0").replace("/", "~1")
        if name not in members and not (name == _LINK and _may_be_linked(scope)):
            raise InvalidRequestError(
                f"There is no query member {shown!r}{_hint(name, members)}",
                pointer=pointer,
                code="query_member_unknown",
            )
        if count > 1 and not members.get(name, False):
            raise InvalidRequestError(
                f"The query member {shown!r} is there {count} times.",
                pointer=pointer,
                code="query_member_repeated",
            )


def _hint(name: str, members: Mapping[str, bool]) -> str:
    """Return the rest of a sentence: the member that is most like the name, and all that there are."""
    from difflib import get_close_matches  # noqa: PLC0415  # no reason for a slower start

    if not members:
        return ": this route has none."
    plain = {each.replace("_", ""): each for each in members}
    found = get_close_matches(name.lower().replace("-", "").replace("_", ""), plain, n=1)
    question = f" Did you mean {plain[found[0]]!r}?" if found else ""
    return f".{question} There are: {', '.join(members)}."


def _may_be_linked(scope: Scope) -> bool:
    from rune.services.links import is_linkable  # noqa: PLC0415  # few requests bring a link

    return scope["method"] == "GET" and is_linkable(scope["path"])


def _is_list(annotation: object) -> bool:
    """Return whether a member's type is a list, or may be one."""
    return get_origin(annotation) is list or any(get_origin(each) is list for each in get_args(annotation))

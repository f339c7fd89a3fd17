"""Who calls: which tenant, from which address, and whether they may."""

from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import event_streams, problems
from api.credentials import NO_TENANT, NO_TOKEN, read_offer
from api.services import Services, services_of
from rune.errors import RateLimitedError, RuneError, TokenExpiredError, UnauthorizedError
from rune.services.jobs import Caller
from rune.tenants.entries import TENANT
from rune.tenants.limiter import subject_of
from rune.tenants.settings import TenantSettings
from rune.tenants.tokens import LINK, NO_AUTHENTICATION, Token, digest_of

REFUSED_LINK = (
    "The link does not open this: it was made for another path or changed, or its token or key is gone."
)

TOLD_BEFORE = timedelta(days=14)
"""For so long before its end each answer tells when a token expires."""

EXPIRY_HEADER = "Token-Expires-At"


class Authentication:
    """Lets a request in only with a valid token, before anything of it is read.

    Unknown paths need one too, so that callers without a token learn nothing of what there is.
    """

    def __init__(self, app: ASGIApp, services: Services, open_paths: frozenset[str]) -> None:
        self._app = app
        self._services = services
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or refuse it."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            # A browser asks without a token. The same answer at all paths tells nothing of what there is, so it
            # names no methods either; a path's own are told with a 405.
            await Response(status_code=204)(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            try:
                admitted = authenticate(Request(scope), self._services)
            except RuneError as error:
                await _refusal(Request(scope), error)(scope, receive, send)
                return
            scope["caller"], scope["tenant_settings"], scope["token"] = admitted
            send = _telling_expiry(send, scope["token"], self._services.clock.now())
        await self._app(scope, receive, send)


def _telling_expiry(send: Send, token: Token, now: datetime) -> Send:
    """Return a way to answer that tells when the token expires, if that is soon."""
    ends = token.expires_at
    if ends is None or ends - now > TOLD_BEFORE:
        return send
    expiry = ends.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[EXPIRY_HEADER] = expiry
        await send(message)

    return tell


def _refusal(request: Request, error: RuneError) -> Response:
    """Return a problem; for what passes by itself, a pause to a stream, which a problem would end for good."""
    paused = event_streams.pause(error) if event_streams.is_asked_for(request) else None
    return problems.as_response(error) if paused is None else paused


def authenticate(request: Request, services: Services) -> tuple[Caller, TenantSettings, Token]:
    """Return the caller, whose address is still to be looked up with the next read, its tenant, and its token.

    The tenant is `X-Tenant-ID`, or "default", unless the operator says for the token which other one is meant. The
    token comes as a bearer or as `X-API-Key`. Where both are sent,
    they must be equal. Without a token, a link stands in for one at what links may open (`rune.services.links`).

    Raises
    ------
    UnauthorizedError
        No token, or not one of the tenant's. A token or link that was compared in vain counts against the caller's
        address, unless the tenant is suspended; a request without one, as browsers and probes send it, does not.
    RateLimitedError
        Too many of those came from the address within 60 seconds.
    TokenExpiredError
        The token is the tenant's, and its time is over. It does not count either.
    LinkExpiredError
        The link was made for this path, and its time is over.
    TenantSuspendedError
        The token or the link is the tenant's, and the tenant is suspended.
    StoreUnavailableError
        The tenant's settings cannot be known now.
    """
    link = _link_in(request)
    if link is not None:
        return _authenticate_link(request, services, link)
    offer = read_offer(request.headers)
    if not services.has_authentication:
        if not TENANT.fullmatch(offer.tenant):
            raise UnauthorizedError(NO_TENANT)
        settings = services.tenants.of(offer.tenant)
        caller = Caller.of(offer.tenant, settings, token_name=NO_AUTHENTICATION.name)
        return caller, settings, NO_AUTHENTICATION
    subject = _subject_of(request)
    _refuse_blocked(services.limiter.recall(subject))
    if offer.token is None:
        raise UnauthorizedError(offer.hindrance or NO_TOKEN)
    tenant = offer.tenant
    found = _find_settings(services, tenant, subject)
    token = found.find_token(offer.token)
    meant = None
    if token is None and not offer.names_tenant:
        meant = found.tenants_of_tokens.get(digest_of(offer.token))
    if meant is not None:
        tenant, found = meant, _find_settings(services, meant, subject)
        token = found.find_token(offer.token)
    if token is None:
        _count_failure(services, found, subject)
        raise UnauthorizedError(offer.refusal)
    if token.has_expired(services.clock.now()):
        # Told to nobody who has not the token. Its client may go on asking without blocking its address.
        raise TokenExpiredError
    caller = Caller.of(tenant, found, subject, token_name=token.name)
    services.token_uses.note(tenant, token.name)
    return caller, found, token


def _link_in(request: Request) -> str | None:
    """Return the link that stands in for a token; None where there is a token, or links count for nothing."""
    if b"link=" not in request.scope["query_string"] or request.method != "GET":
        return None
    if "authorization" in request.headers or "x-api-key" in request.headers:
        return None
    # Imported here: few requests bring a link, and no other one should start more slowly for them.
    from rune.services.links import is_linkable  # noqa: PLC0415
    from rune.tenants.links import PARAMETER  # noqa: PLC0415

    found = request.query_params.getlist(PARAMETER)
    return found[0] if len(found) == 1 and is_linkable(request.scope["path"]) else None


def _authenticate_link(
    request: Request, services: Services, text: str
) -> tuple[Caller, TenantSettings, Token]:
    """Return whom a link stands for; the errors are those of `authenticate`."""
    from rune.tenants.links import NO_TOKEN as WITHOUT_TOKEN  # noqa: PLC0415
    from rune.tenants.links import Link  # noqa: PLC0415

    subject = _subject_of(request) if services.has_authentication else None
    if subject is not None:
        _refuse_blocked(services.limiter.recall(subject))
    link = Link.parse(text)
    if link is not None and request.headers.get("x-tenant-id", link.tenant) != link.tenant:
        link = None
    settings = None
    if link is not None:
        settings = _find_settings(services, link.tenant, subject)
        of_readers = settings.readers_digests(services.clock.now())
        digests = of_readers if services.has_authentication else (WITHOUT_TOKEN,)
        if services.links().opens(link, digests, request.scope["path"], request.query_params.multi_items()):
            return Caller.of(link.tenant, settings, subject, token_name=LINK.name), settings, LINK
    if subject is not None:
        _count_failure(services, settings, subject)
    raise UnauthorizedError(REFUSED_LINK)


def _count_failure(services: Services, settings: TenantSettings | None, subject: str) -> None:
    # A document that is not understood suspends its tenant, and its tokens are unknown. If calls of its clients
    # counted, they would block the other tenants at their address.
    if settings is None or not settings.is_suspended:
        _refuse_blocked(services.limiter.count_failure(subject))


def _subject_of(request: Request) -> str:
    """Return the address whose failures count: the TCP peer, as X-Forwarded-For is the caller's own claim."""
    return subject_of(request.client.host if request.client else "")


def token_digest_of(request: Request) -> bytes:
    """Return the digest of the token with which the caller was let in; empty where none was asked for."""
    token = read_offer(request.headers).token if services_of(request).has_authentication else None
    return b"" if token is None else digest_of(token)


def _find_settings(services: Services, tenant: str, subject: str | None) -> TenantSettings:
    """Return the tenant's settings; where they must be read, a blocked address is refused before."""
    settings = services.tenants.recall(tenant)
    if settings is not None:
        return settings
    if subject is not None:
        _refuse_blocked(services.limiter.read(subject))
    return services.tenants.of(tenant)


def tenant_settings_of(request: Request) -> TenantSettings:
    """Return what the operator decided for the caller's tenant."""
    settings: TenantSettings = request.scope["tenant_settings"]
    return settings


def caller_of(request: Request) -> Caller:
    """Return the caller whom `Authentication` let in, where the first read or write looks up the address."""
    caller: Caller = request.scope["caller"]
    return caller


def admitted_caller_of(request: Request) -> Caller:
    """Return the caller, for all other routes: once its address is known not to be blocked.

    Raises
    ------
    RateLimitedError
        It is.
    """
    caller = caller_of(request)
    if caller.address is not None:
        _refuse_blocked(services_of(request).limiter.read(caller.address))
    return caller


def _refuse_blocked(remaining_seconds: int | None) -> None:
    if remaining_seconds is not None:
        raise RateLimitedError(remaining_seconds)

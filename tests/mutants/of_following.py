"""Mutants of links, streams and the archive."""

from tests.mutants.mutant import SERVICES, TEST_SERVICES, Mutant

SIGNATURES = "shared/rune/tenants/links.py"
LINKS = SERVICES + "links.py"
AUTH = "functions/api/auth.py"
STREAMS = "functions/api/event_streams.py"
KEYS = "shared/rune/signing_keys.py"
ARCHIVE = SERVICES + "archive.py"

KEY_TESTS = ("tests/unit/test_signing_keys.py",)
SIGNATURE_TESTS = ("tests/unit/tenants/test_links.py",)
STREAM_TESTS = ("tests/unit/api/test_event_streams.py",)
ARCHIVE_TESTS = (TEST_SERVICES + "test_archive.py",)


def _over_the_api(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/functional/functions/test_api_links.py::test_{name}" for name in names)


MUTANTS = (
    Mutant(
        "link opens any path",
        SIGNATURES,
        '["GET", target, link.expires_at_seconds]',
        '["GET", "", link.expires_at_seconds]',
        "A link to one document would open all of its tenant's.",
        SIGNATURE_TESTS,
    ),
    Mutant(
        "link's end can be moved",
        SIGNATURES,
        '["GET", target, link.expires_at_seconds]',
        '["GET", target]',
        "Who has a link could make it last for ever.",
        SIGNATURE_TESTS,
    ),
    Mutant(
        "link is of no tenant",
        SIGNATURES,
        "link.key_version, link.tenant, token_digest.hex())",
        "link.key_version, token_digest.hex())",
        "A token that two tenants have would make links from the one to the other.",
        SIGNATURE_TESTS,
    ),
    Mutant(
        "link outlives its token",
        SIGNATURES,
        "link.key_version, link.tenant, token_digest.hex())",
        "link.key_version, link.tenant)",
        "A token that is revoked would leave its links behind.",
        SIGNATURE_TESTS,
    ),
    Mutant(
        "link never ends",
        LINKS,
        "if link.has_expired(self._clock.now()):",
        "if False:",
        "A link that was passed on would open its document for ever.",
        _over_the_api("link_says_that_its_time_is_over_and_does_not_count"),
    ),
    Mutant(
        "page's link opens other forms",
        LINKS,
        "for each in (path, target_of(path, members))]",
        'for each in (path, target_of(path, [("format", "html")]))]',
        "Who was given a page could read the whole report with it.",
        _over_the_api("page_link_opens_nothing_but_the_page"),
    ),
    Mutant(
        "link changes things",
        AUTH,
        ' or request.method != "GET"',
        "",
        "Who may read a job could cancel it.",
        _over_the_api("link_opens_with_get_alone"),
    ),
    Mutant(
        "link stands beside a wrong token",
        AUTH,
        'if "authorization" in request.headers or "x-api-key" in request.headers:',
        "if False:",
        "A wrong token would not be refused.",
        _over_the_api("link_never_stands_beside_a_token"),
    ),
    Mutant(
        "link is of another tenant than the header",
        AUTH,
        'if link is not None and request.headers.get("x-tenant-id", link.tenant) != link.tenant:',
        "if False:",
        "Two answers to who calls would be in one request.",
        _over_the_api("link_of_another_tenant_than_the_header_names_opens_nothing"),
    ),
    Mutant(
        "purposes share a key",
        KEYS,
        "for part in (purpose.value, *context)]",
        "for part in context]",
        "A link would be worth something as the secret of a webhook.",
        KEY_TESTS,
    ),
    Mutant(
        "contexts run into each other",
        KEYS,
        "len(part).to_bytes(4) + part",
        "part",
        "Two lists of texts would have one key.",
        KEY_TESTS,
    ),
    Mutant(
        "two keys have one version",
        KEYS,
        " if len(keys) == 1}",
        "}",
        "It would be chance which of the two signs.",
        KEY_TESTS,
    ),
    Mutant(
        "reader is stopped before the end",
        STREAMS,
        "if next_seconds is None and position and not events:",
        "if next_seconds is None and position:",
        "A browser would never see how the job ended.",
        STREAM_TESTS,
    ),
    Mutant(
        "address counts more than the last id",
        STREAMS,
        "return int(last) if _NUMBER.fullmatch(last) else after",
        "return after or (int(last) if _NUMBER.fullmatch(last) else 0)",
        "A browser would get the same events again at each visit.",
        STREAM_TESTS,
    ),
    Mutant(
        "blocked reader is ended",
        STREAMS,
        "if isinstance(error, (RateLimitedError, TooManyRequestsError)):",
        "if False:",
        "A browser gives up for good on any status but 200.",
        STREAM_TESTS,
    ),
    Mutant(
        "half an end is archived",
        ARCHIVE,
        "if job.finished_at is None or (job.status is Status.SUCCEEDED and stored.result_json is None):",
        "if False:",
        "A line would lack the result, for good.",
        ARCHIVE_TESTS,
    ),
    Mutant(
        "archive keeps what is RUNE's own",
        ARCHIVE,
        "document.pop(BOOKKEEPING, None)",
        "pass",
        "Names of files that no caller gets would stand in every line.",
        ARCHIVE_TESTS,
    ),
)

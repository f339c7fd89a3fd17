"""That docs/tenants.md holds the schema as it is, and an example that is understood."""

import json
import re

from rune.net.addresses import AddressPolicy
from rune.tenants.document import TenantDocument
from rune.tenants.reading import DocumentContext, read_document
from tests.tenant_docs import PAGE, describe, insert


def test_page_holds_the_printed_schema() -> None:
    page = PAGE.read_text()

    assert insert(page) == page
    assert describe(TenantDocument) in page


def test_every_field_has_a_meaning() -> None:
    assert "| None |" not in describe(TenantDocument)


def test_example_of_the_page_is_understood() -> None:
    (example,) = re.findall(r"\$ cat acme.json\n(.*?)\n\$ ", PAGE.read_text(), flags=re.DOTALL)

    settings, refused = read_document(example.replace("…", "0123456789"), DocumentContext(AddressPolicy()))

    assert refused == ()
    assert json.loads(example).keys() == TenantDocument.model_fields.keys() - {
        "suspended",
        "tenants_of_tokens",
    }
    assert settings.templates

"""Reports as pages: what they are made of, and how they are sent."""

from fastapi import Request, Response

from api.auth import caller_of
from api.services import services_of
from rune.contracts.receipts import ReceiptLine
from rune.errors import UnreadableRowError
from rune.money.receipts import LineKind
from rune.pages.dots import read_dots
from rune.pages.report_page import ReportPage, to_page
from rune.pages.style import HEADERS
from rune.services.receipts import to_document
from rune.services.reports import Reported, ReportService

MEDIA_TYPE = "text/html; charset=utf-8"


def answer_report(request: Request, reports: ReportService, found: Reported) -> Response:
    """Return a report as a page, with its single requests and its bill."""
    dots = {
        run: read_dots(lines.texts, is_whole=lines.is_whole)
        for run, lines in reports.read_records(found).items()
    }
    page = ReportPage(
        report=found.report,
        dots=dots,
        has_records=bool(found.record_keys),
        bill=None if found.report.cost is None else _bill(request, found.job.job_id),
    )
    return answer(to_page(page))


def answer(page: str) -> Response:
    """Return a page in the way in which all are sent."""
    return Response(page, media_type=MEDIA_TYPE, headers=dict(HEADERS))


def _bill(request: Request, job_id: str) -> list[ReceiptLine] | None:
    """Return what providers charge for the job; None where its receipt is not to be understood."""
    try:
        receipt = to_document(*services_of(request).jobs.find_receipt(caller_of(request), job_id))
    except UnreadableRowError:
        return None
    return [line for line in receipt.lines if line.kind != LineKind.AWS.value]

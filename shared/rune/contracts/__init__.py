"""What callers send and what they get: the API's documents.

Shapes follow the API specification and what clients in the field send and read.

A name's module is imported when the name is first asked for: a cold start needs few of the documents, and a
document takes half a millisecond.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rune.contracts.benchmarks import (
        BenchmarkReport,
        BlockReport,
        CapacityLoad,
        CapacityReport,
        CostReport,
        DatasetReport,
        Distribution,
        HardwareReport,
        ModelReport,
        QualityReport,
        RunCost,
        RunReport,
        SamplingReport,
        ServerLoad,
        ServerReport,
        ServerSide,
        StandardErrors,
        TimeToReady,
    )
    from rune.contracts.comparisons import (
        ComparedJob,
        ComparedMetric,
        ComparedPoint,
        ComparedValue,
        Comparison,
    )
    from rune.contracts.document import Document, read_stored
    from rune.contracts.links import (
        JobLink,
        LinkRequest,
        PageLink,
        PageLinkRequest,
        RecordsLink,
        RecordsLinks,
    )
    from rune.contracts.metrics import EventMetrics, MetricsSummary
    from rune.contracts.models import Catalog, CatalogModel, ServerModels
    from rune.contracts.records import (
        JobAccepted,
        JobEvent,
        JobEvents,
        JobList,
        JobProgress,
        JobRecord,
        JobSummary,
        KindName,
        StatusName,
    )
    from rune.contracts.rentals import RentalExtension, RentalKey, RentalList, RentalRecord
    from rune.contracts.requests import (
        AgenticAgentRequest,
        BackendChoice,
        BackendType,
        BenchmarkRequest,
        LlmInstanceRequest,
        Provisioning,
        Question,
        RentalChoice,
        Url,
        VastaiProvisioning,
    )
    from rune.contracts.results import (
        AgenticAgentResult,
        BenchmarkBookkeeping,
        BenchmarkResult,
        LlmInstanceResult,
        Measurements,
        PhaseLatency,
        RentalReceipt,
        StoredBenchmarkResult,
        Telemetry,
        TokenTelemetry,
    )
    from rune.contracts.workloads import (
        Expectation,
        GoodputLimits,
        JudgeModel,
        NumericExpectation,
        Workload,
    )

__all__ = [
    "AgenticAgentRequest",
    "AgenticAgentResult",
    "BackendChoice",
    "BackendType",
    "BenchmarkBookkeeping",
    "BenchmarkReport",
    "BenchmarkRequest",
    "BenchmarkResult",
    "BlockReport",
    "CapacityLoad",
    "CapacityReport",
    "Catalog",
    "CatalogModel",
    "ComparedJob",
    "ComparedMetric",
    "ComparedPoint",
    "ComparedValue",
    "Comparison",
    "CostReport",
    "DatasetReport",
    "Distribution",
    "Document",
    "EventMetrics",
    "Expectation",
    "GoodputLimits",
    "HardwareReport",
    "JobAccepted",
    "JobEvent",
    "JobEvents",
    "JobLink",
    "JobList",
    "JobProgress",
    "JobRecord",
    "JobSummary",
    "JudgeModel",
    "KindName",
    "LinkRequest",
    "LlmInstanceRequest",
    "LlmInstanceResult",
    "Measurements",
    "MetricsSummary",
    "ModelReport",
    "NumericExpectation",
    "PageLink",
    "PageLinkRequest",
    "PhaseLatency",
    "Provisioning",
    "QualityReport",
    "Question",
    "RecordsLink",
    "RecordsLinks",
    "RentalChoice",
    "RentalExtension",
    "RentalKey",
    "RentalList",
    "RentalReceipt",
    "RentalRecord",
    "RunCost",
    "RunReport",
    "SamplingReport",
    "ServerLoad",
    "ServerModels",
    "ServerReport",
    "ServerSide",
    "StandardErrors",
    "StatusName",
    "StoredBenchmarkResult",
    "Telemetry",
    "TimeToReady",
    "TokenTelemetry",
    "Url",
    "VastaiProvisioning",
    "Workload",
    "read_stored",
]

_MODULES = {
    "benchmarks": (
        "BenchmarkReport",
        "BlockReport",
        "CapacityLoad",
        "CapacityReport",
        "CostReport",
        "DatasetReport",
        "Distribution",
        "HardwareReport",
        "ModelReport",
        "QualityReport",
        "RunCost",
        "RunReport",
        "SamplingReport",
        "ServerLoad",
        "ServerReport",
        "ServerSide",
        "StandardErrors",
        "TimeToReady",
    ),
    "comparisons": (
        "ComparedJob",
        "ComparedMetric",
        "ComparedPoint",
        "ComparedValue",
        "Comparison",
    ),
    "document": ("Document", "read_stored"),
    "links": (
        "JobLink",
        "LinkRequest",
        "PageLink",
        "PageLinkRequest",
        "RecordsLink",
        "RecordsLinks",
    ),
    "records": (
        "JobAccepted",
        "JobEvent",
        "JobEvents",
        "JobList",
        "JobProgress",
        "JobRecord",
        "JobSummary",
        "KindName",
        "StatusName",
    ),
    "rentals": ("RentalRecord", "RentalList", "RentalExtension", "RentalKey"),
    "metrics": ("EventMetrics", "MetricsSummary"),
    "models": ("CatalogModel", "Catalog", "ServerModels"),
    "requests": (
        "AgenticAgentRequest",
        "BackendChoice",
        "BackendType",
        "BenchmarkRequest",
        "LlmInstanceRequest",
        "Provisioning",
        "Question",
        "RentalChoice",
        "Url",
        "VastaiProvisioning",
    ),
    "results": (
        "AgenticAgentResult",
        "BenchmarkBookkeeping",
        "BenchmarkResult",
        "LlmInstanceResult",
        "Measurements",
        "PhaseLatency",
        "RentalReceipt",
        "StoredBenchmarkResult",
        "Telemetry",
        "TokenTelemetry",
    ),
    "workloads": (
        "Expectation",
        "GoodputLimits",
        "JudgeModel",
        "NumericExpectation",
        "Workload",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

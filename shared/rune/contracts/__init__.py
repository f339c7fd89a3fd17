"""What callers send and what they get: the API's documents.

Shapes follow the API specification and what clients in the field send and read.
"""

from rune.contracts.document import Document
from rune.contracts.records import (
    Catalog,
    CatalogModel,
    EventMetrics,
    JobAccepted,
    JobEvent,
    JobEvents,
    JobList,
    JobRecord,
    JobSummary,
    KindName,
    MetricsSummary,
    ServerModels,
    StatusName,
)
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
    BenchmarkResult,
    LlmInstanceResult,
    Measurements,
    PhaseLatency,
    ServerMeasurements,
    Telemetry,
    TokenTelemetry,
)

__all__ = [
    "AgenticAgentRequest",
    "AgenticAgentResult",
    "BackendChoice",
    "BackendType",
    "BenchmarkRequest",
    "BenchmarkResult",
    "Catalog",
    "CatalogModel",
    "Document",
    "EventMetrics",
    "JobAccepted",
    "JobEvent",
    "JobEvents",
    "JobList",
    "JobRecord",
    "JobSummary",
    "KindName",
    "LlmInstanceRequest",
    "LlmInstanceResult",
    "Measurements",
    "MetricsSummary",
    "PhaseLatency",
    "Provisioning",
    "Question",
    "RentalChoice",
    "ServerMeasurements",
    "ServerModels",
    "StatusName",
    "Telemetry",
    "TokenTelemetry",
    "Url",
    "VastaiProvisioning",
]

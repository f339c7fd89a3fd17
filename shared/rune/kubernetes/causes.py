"""The closed list of causes that a finding may name; the same for every model, so that answers can be compared."""

from enum import StrEnum


class Cause(StrEnum):
    """What is wrong, at the object that must be changed."""

    APP_CRASH = "app_crash"
    IMAGE_NOT_FOUND = "image_not_found"
    IMAGE_PULL_DENIED = "image_pull_denied"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    INSUFFICIENT_RESOURCES = "insufficient_resources"
    UNTOLERATED_TAINT = "untolerated_taint"
    AFFINITY_MISMATCH = "affinity_mismatch"
    ANTI_AFFINITY_CONFLICT = "anti_affinity_conflict"
    NODES_CORDONED = "nodes_cordoned"
    VOLUME_PENDING = "volume_pending"
    READINESS_PROBE_FAILING = "readiness_probe_failing"
    LIVENESS_PROBE_FAILING = "liveness_probe_failing"
    OOM_KILLED = "oom_killed"
    CONFIG_MISSING = "config_missing"
    NODE_NOT_READY = "node_not_ready"
    NODE_DISK_PRESSURE = "node_disk_pressure"
    SERVICE_SELECTOR_MISMATCH = "service_selector_mismatch"
    SERVICE_PORT_MISMATCH = "service_port_mismatch"
    NETWORK_POLICY_BLOCKS = "network_policy_blocks"
    HPA_NO_METRICS = "hpa_no_metrics"
    HPA_AT_LIMIT = "hpa_at_limit"
    JOB_FAILED = "job_failed"
    INIT_CONTAINER_STUCK = "init_container_stuck"
    QUOTA_EXCEEDED = "quota_exceeded"
    WEBHOOK_DENIES = "webhook_denies"
    WEBHOOK_UNAVAILABLE = "webhook_unavailable"
    SERVICE_ACCOUNT_MISSING = "service_account_missing"
    CERTIFICATE_EXPIRED = "certificate_expired"
    DNS_FAILURE = "dns_failure"
    SCHEDULER_DOWN = "scheduler_down"
    DEPENDENCY_DOWN = "dependency_down"
    BAD_CREDENTIALS = "bad_credentials"
    WRONG_ADDRESS_IN_CONFIG = "wrong_address_in_config"
    SCALED_TO_ZERO = "scaled_to_zero"
    OTHER = "other"
    """Something else, told in the finding's own words."""


class ClusterStatus(StrEnum):
    """What an investigation says of the whole."""

    UNHEALTHY = "unhealthy"
    HEALTHY = "healthy"
    RECOVERED = "recovered"
    UNDETERMINED = "undetermined"
    """What would decide it cannot be read."""

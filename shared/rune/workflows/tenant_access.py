"""What a tenant's settings mean for a step that runs: suspension, and keys that changed meanwhile."""

from rune.errors import ServerAccessError, SettingsUnavailableError
from rune.jobs import plan
from rune.jobs.outcomes import Again, Failed, Outcome
from rune.jobs.step import Step, StepContext
from rune.tenants.settings import TenantSettings, TenantSource

SETTINGS_DELAY_SECONDS = 20
"""Wait for settings that cannot be read; the job's deadline ends it."""


def heeding_tenant(step: Step, tenants: TenantSource) -> Step:
    """Return a step that does not run for a suspended tenant, but to wind down, and takes up a changed key.

    A server that refuses a key has done nothing, so the step may run again. It does so at once, and once, if the
    tenant's keys have changed since it began. A later turn may come to a process that still has the old key.
    """

    async def run(context: StepContext) -> Outcome:
        tenant = context.job.tenant
        try:
            before = _recall(tenants, tenant)
            if before is not None and before.is_suspended:
                suspended = Failed("tenant_suspended", "The tenant is suspended.", retryable=False)
                if not plan.STEPS[context.job.step].winds_down:
                    return suspended
                context.ends_with = context.ends_with or suspended
            return await step(context)
        except SettingsUnavailableError:
            return Again(SETTINGS_DELAY_SECONDS, dict(context.job.progress))
        except ServerAccessError:
            if before is None or _keys_of(tenants.reread(tenant)) == _keys_of(before):
                raise
        return await step(context)

    return run


def _recall(tenants: TenantSource, tenant: str) -> TenantSettings | None:
    """Return the settings, or None where they cannot be read: a step that needs them finds out by itself."""
    try:
        return tenants.of(tenant)
    except SettingsUnavailableError:
        return None


def _keys_of(settings: TenantSettings) -> tuple[object, object]:
    return settings.agents, settings.backends.credentials

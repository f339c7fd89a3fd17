"""Put into a function's code and imported there first: every turn is an invocation of its own.

Otherwise a worker goes on with its job, and the turns of a short job are all taken by one version.
"""

from rune.jobs import plan

plan.GO_ON_SECONDS = dict.fromkeys(plan.GO_ON_SECONDS, 0)

"""Where it happens: workers, and the carries that pass between them. Knows calls and carries, no volumes."""

from cluster.executor import Executor, Group
from cluster.local import LocalExecutor
from cluster.resources import ResourceError
from cluster.waves import run_waves

__all__ = ["Executor", "Group", "LocalExecutor", "ResourceError", "run_waves"]

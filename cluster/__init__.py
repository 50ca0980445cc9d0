"""Where it happens: workers, and the carries that pass between them. Knows nothing of volumes, only calls and carries."""

from cluster.executor import Executor, Group
from cluster.local import LocalExecutor
from cluster.resources import ResourceError
from cluster.waves import run_waves

__all__ = ["Executor", "Group", "LocalExecutor", "ResourceError", "run_waves"]

"""Where it happens: workers, and the carries that pass between them. Knows calls and carries, no volumes."""

from cluster.actor import Doing, Done, Pulse, Tally
from cluster.executor import Executor, Group
from cluster.layout import Layout, in_time, lay_out
from cluster.local import LocalExecutor
from cluster.mail import WorkerLost
from cluster.resources import ResourceError
from cluster.usage import Usage, forget_peak, own_usage
from cluster.walk import Job, Lost, Started, walk_all
from ssm_ops.carry import Place

__all__ = [
    "Doing",
    "Done",
    "Executor",
    "Group",
    "Job",
    "Layout",
    "LocalExecutor",
    "Lost",
    "Place",
    "Pulse",
    "ResourceError",
    "Started",
    "Tally",
    "Usage",
    "WorkerLost",
    "forget_peak",
    "in_time",
    "lay_out",
    "own_usage",
    "walk_all",
]

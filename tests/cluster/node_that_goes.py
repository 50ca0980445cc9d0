"""A scan on three nodes, one of which is removed in the middle: python -m tests.cluster.node_that_goes DIR."""

import sys
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from cluster.ray_executor import RayExecutor
from pipeline.progress import Progress
from tests.cluster.test_failures import filter_job
from tests.synthetic import Silent
from workflows.commands.filtering import run_filter


def nap() -> None:
    time.sleep(3)


def main() -> None:
    folder = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    naps = {("computing", shard, 1): nap for shard in range(6, 12)}  # longer than it takes to see that a node is gone
    job, seen = filter_job(folder, naps), []

    class Removing(Silent):
        def tell(self, stage, event):
            super().tell(stage, event)
            if not isinstance(event, Progress):
                return
            if event.line:
                seen.append(event.line)
            if event.done >= 5 and nodes:
                cluster.remove_node(nodes.pop())
                nodes.clear()

    executor = RayExecutor(workers=3, silence=60)
    run_filter(job, executor, Removing(), cut="time")
    executor.close()
    lost = sum("going on from what is committed" in line for line in seen)
    workers = [line.split(";")[0] for line in seen if "workers;" in line or "worker;" in line]
    print(f"{lost} lost, {workers[-1]} afterwards")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()

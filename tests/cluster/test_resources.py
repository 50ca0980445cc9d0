"""What a cluster has against what is asked: refused before anyone waits, with both numbers."""

import pytest

from cluster.resources import ResourceError, Slots, plan_slots


def test_one_worker_a_gpu_where_there_are_gpus():
    assert plan_slots([{"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 1}], threads=4, workers=None) == Slots(3, cpus=1, gpus=1)


def test_a_gpu_needs_a_cpu_beside_it():
    assert plan_slots([{"CPU": 1, "GPU": 4}, {"CPU": 2, "GPU": 1}], threads=1, workers=None) == Slots(2, cpus=1, gpus=1)


def test_else_one_worker_a_cpu_slot_that_fits_one_node():
    assert plan_slots([{"CPU": 5}, {"CPU": 3}], threads=2, workers=None) == Slots(3, cpus=2, gpus=0)


def test_too_many_workers():
    with pytest.raises(
        ResourceError, match="5 workers were asked for, the cluster has 2 GPUs with .*; use --workers 2"
    ):
        plan_slots([{"CPU": 16, "GPU": 2}], threads=1, workers=5)


def test_too_many_threads():
    with pytest.raises(ResourceError, match="8 threads fits no node; the largest has 4 CPUs"):
        plan_slots([{"CPU": 4}, {"CPU": 2}], threads=8, workers=None)

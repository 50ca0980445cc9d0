"""Ingest and preprocess on a real Ray: dask's blocks are tasks of the cluster, and stores have the bits of threads."""

import os
import threading

import dask
import numpy as np
import pytest

from cluster import LocalExecutor
from cluster.ray_executor import RayExecutor
from pipeline.ingest import IngestSettings
from pipeline.preprocess import PreprocessSettings
from pipeline.splits import Period, Splits
from pipeline.storage import arrays, store
from pipeline.volume import InputError
from tests.synthetic import blobs
from workflows.catalog import Kinds

SPLITS = Splits(Period("a", last="2000-02-10"), Period("a", "2000-02-11", "2000-02-20"), Period("a", "2000-02-21"))


def stages(folder, executor):
    made, run = {}, Kinds()
    for name in ("raw", "prepared"):
        made[name] = folder / name
        made[name].mkdir(parents=True)
    source = folder.parent / "a.nc"
    list(run["ingest"].run(IngestSettings(str(source), "warmth", chunk=7), {}, made["raw"], executor))
    settings = PreprocessSettings(SPLITS, anomalies="month", missing="mask", chunk=5)
    list(run["preprocess"].run(settings, {"a": made["raw"]}, made["prepared"], executor))
    return made


@pytest.fixture
def cluster(ray_executor, monkeypatch):
    """An executor whose cluster of one node passes for one of two."""
    from cluster import ray_executor as module

    assert list(ray_executor.stream(range, 1, threads=1)) == [0]  # connected
    (node,) = module.ray.nodes()
    monkeypatch.setattr(module.ray, "nodes", lambda: [node, node])
    return ray_executor


@pytest.mark.slow
def test_the_same_bits_as_on_threads(tmp_path, cluster):
    data = blobs(59, 0)
    data["warmth"][3, 2, 2] = np.nan
    data.to_netcdf(tmp_path / "a.nc")
    persist = dask.persist
    ray, local = stages(tmp_path / "ray", cluster), stages(tmp_path / "local", LocalExecutor())
    assert dask.persist is persist
    for name, path, group in (("raw", "raw.zarr", None), ("prepared", "prepared.zarr", "a")):
        one, other = (store.read_frames(made[name] / path, group, 0, 59) for made in (ray, local))
        assert one.tobytes() == other.tobytes()
    (one, told), (other, also) = (arrays.read_arrays(made["prepared"] / "statistics.zarr") for made in (ray, local))
    assert told == also
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in other.items()
    }


def process(_=None):
    return os.getpid()


@pytest.mark.slow
def test_blocks_are_tasks_of_the_cluster_where_they_can_be_sent(cluster):
    here, lock = os.getpid(), threading.Lock()
    one = dask.delayed(process, pure=False)
    with cluster.dask_scheduler():
        assert dask.compute(one())[0] != here
        assert dask.compute(one(dask.delayed(lock, traverse=False)))[0] == here
    assert dask.compute(one())[0] == here


def refuse():
    raise InputError("frame 3 is torn; mend it")


@pytest.mark.slow
def test_what_a_task_refuses_is_told_as_it_is(cluster):
    with cluster.dask_scheduler(), pytest.raises(InputError) as caught:
        dask.compute(dask.delayed(refuse, pure=False)())
    assert str(caught.value) == "frame 3 is torn; mend it"


@pytest.mark.slow
def test_ray_on_this_machine_alone_leaves_dask_its_threads(ray_executor):
    assert list(ray_executor.stream(range, 1, threads=1)) == [0]
    with ray_executor.dask_scheduler():
        assert dask.compute(dask.delayed(process, pure=False)())[0] == os.getpid()


def test_without_ray_dask_has_its_threads():
    for executor in (LocalExecutor(), RayExecutor()):  # the latter is not started for that
        with executor.dask_scheduler():
            assert dask.compute(dask.delayed(process, pure=False)())[0] == os.getpid()

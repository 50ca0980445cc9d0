"""Dask's graphs as Ray tasks: the one place that imports the bridge, which replaces `dask.persist` on its import."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import dask
from dask.threaded import get as on_threads
from ray import cloudpickle
from ray.exceptions import RayTaskError


@contextmanager
def dask_on_ray() -> Iterator[None]:
    """While it is open, dask computes in tasks of the cluster that this process is connected to.

    What cannot be sent there, such as a decoder of video that is open here, is computed on this process's threads.
    """
    with dask.config.set(scheduler=partial(_where_it_can, _bridge())):
        yield


def _where_it_can(on_ray: Callable[..., Any], graph: Any, keys: Any, **options: Any) -> Any:
    try:
        cloudpickle.dumps(graph)
    except (TypeError, pickle.PicklingError):
        return on_threads(graph, keys, **options)
    try:
        return on_ray(graph, keys, **options)
    except RayTaskError as error:
        raise error.cause from error


def _bridge() -> Callable[..., Any]:
    """Ray's scheduler for dask; `dask.persist` stays dask's own."""
    persist = dask.persist
    try:
        from ray.util.dask import ray_dask_get
    finally:
        dask.persist = persist
    return ray_dask_get

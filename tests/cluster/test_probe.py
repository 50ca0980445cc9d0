"""Probing clusters: several nodes say what they are; what hangs is ended with all that it started."""

import os
import time

import psutil
import pytest

from cluster.probe import PACKAGES, ask, versions


@pytest.mark.slow
def test_every_node_of_a_cluster_answers(tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        (tmp_path / "seen").write_text("content")
        for content, sees in (("content", True), ("other", False)):
            answer = ask(cluster.address, tmp_path / "seen", content, seconds=120)
            assert answer.problem == ""
            assert len(answer.nodes) == 2
            assert answer.resources["CPU"] == 2
            for node in answer.nodes:
                assert (node.problem, node.sees, node.versions) == ("", sees, versions(PACKAGES))
                assert abs(node.skew) <= node.trip
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_a_probe_that_takes_too_long_is_ended_with_its_ray(tmp_path):
    def theirs():
        mark = os.fspath(tmp_path)
        return [p for p in psutil.process_iter(["environ"]) if mark in str((p.info["environ"] or {}).get("PROBE", ""))]

    os.environ["PROBE"] = os.fspath(tmp_path)
    try:
        begun = time.monotonic()
        answer = ask(None, tmp_path / "seen", "", seconds=3.0)
        assert answer.problem in ("no answer within 3 s", "")
        assert time.monotonic() - begun < 20
        mine = {os.getpid()}
        deadline = time.monotonic() + 20
        while {p.pid for p in theirs()} - mine and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not {p.pid for p in theirs()} - mine
    finally:
        del os.environ["PROBE"]

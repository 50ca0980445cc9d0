"""The templates for clusters: by the schemas of Kubernetes, by a dry parse, and the script for Slurm by running it."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import psutil
import pytest
import ray
from dockerfile_parse import DockerfileParser
from ruamel.yaml import YAML

from tests.end_to_end.test_kill import results
from tests.synthetic import write_recipe

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "workflows/deploy"
SLURM = DEPLOY / "slurm.sbatch"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PATIENCE = 240.0


def _object(required, **properties):
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


PARAMETERS = {
    "type": "object",
    "additionalProperties": {"type": "string"},
}  # KubeRay makes options of `ray start` of them
POD = {"type": "object"}  # checked by the schema of Kubernetes
COUNT = {"type": "integer", "minimum": 0}
RAY_CLUSTER = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata={"type": "object", "required": ["name"]},
    spec=_object(
        ["headGroupSpec", "workerGroupSpecs"],
        rayVersion={"type": "string"},
        headGroupSpec=_object(["rayStartParams", "template"], rayStartParams=PARAMETERS, template=POD),
        workerGroupSpecs={
            "type": "array",
            "items": _object(
                ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
                groupName={"type": "string"},
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                rayStartParams=PARAMETERS,
                template=POD,
            ),
        },
    ),
)
"""The parts of KubeRay's RayCluster (v1, `raycluster_types.go`) that are used, by hand; no package has its schema."""


def test_kuberay_by_its_schemas():
    volume, cluster = YAML(typ="safe").load_all((DEPLOY / "kuberay.yaml").read_text())
    kubernetes_validate.validate(volume, "1.34", strict=True)
    jsonschema.validate(cluster, RAY_CLUSTER)
    spec = cluster["spec"]
    assert spec["rayVersion"] == ray.__version__
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, "1.34", strict=True)
        (container,) = pod["spec"]["containers"]
        token = {"secretKeyRef": {"name": "chronovox-token", "key": "auth_token"}}
        assert container["env"] == [
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": token},
        ]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"data": "/data", "shared-memory": "/dev/shm"}
        volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
        assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert len({group["template"]["spec"]["containers"][0]["image"] for group in groups}) == 1
    (gpu,) = spec["workerGroupSpecs"]
    assert gpu["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert float(gpu["rayStartParams"]["object-store-memory"]) < 10 * 2**30
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_schemas_find_mistakes():
    _, cluster = YAML(typ="safe").load_all(
        (DEPLOY / "kuberay.yaml").read_text().replace("replicas: 2", 'replicas: "2"')
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, RAY_CLUSTER)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"nam": "x"}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.34", strict=True)


def test_slurm_by_a_dry_parse():
    subprocess.run(["bash", "-n", SLURM], check=True, timeout=60)
    lines = SLURM.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    asked = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert max(asked) < first  # Slurm reads none behind the first command
    options = dict(re.fullmatch(r"#SBATCH --([\w-]+)(?:=(\S+))?", lines[number]).groups() for number in asked)
    assert options["requeue"] is None
    assert options["signal"] == "B:USR1@120"  # to this script, which tells the run
    assert options["open-mode"] == "append"  # the log of before is kept
    assert options["ntasks-per-node"] == "1"
    assert set(options) == {
        *("job-name", "nodes", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "mem", "exclusive", "time"),
        *("requeue", "signal", "open-mode", "output"),
    }


class Slurm:
    """One node of a Slurm that is not there: `srun` runs what it is given, `scontrol` writes it down."""

    def __init__(self, folder):
        self.folder, bin = folder, folder / "slurm"
        bin.mkdir()
        self.asked = folder / "asked"
        programs = {
            "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
            "scontrol": f'echo "$@" >> {self.asked}',
            "activate": f'export PATH="{Path(sys.executable).parent}:{bin}:$PATH"',
        }
        for name, code in programs.items():
            (bin / name).write_text(f"#!/bin/bash\n{code}\n")
            (bin / name).chmod(0o755)
        (folder / "bin").symlink_to(bin)
        known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "2"}
        home = {"HOME": str(folder / "home"), "CHRONOVOX_ENVIRONMENT": str(folder)}
        self.environment = known | job | home | {"OMP_NUM_THREADS": "1"}

    def start(self, *arguments):
        return subprocess.Popen(
            ["bash", SLURM, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_slurm_by_running_it_on_one_node(tmp_path):
    """Told that its time is up it ends the run and asks to be put into the queue again; from there it goes on."""
    slurm, recipe = Slurm(tmp_path), write_recipe(tmp_path, steps=400, checkpoint_every=10)
    command = (recipe, "--workers", "2", "--runs", "runs")
    process, run = slurm.start(*command), tmp_path / "runs/blobs"
    deadline = time.monotonic() + PATIENCE
    while not list(run.glob("model-*/step-*.zarr")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (private,) = tmp_path.glob(".chronovox-*")
    assert [oct(path.stat().st_mode)[-3:] for path in (private, private / "token")] == ["700", "600"]
    token, below = (private / "token").read_text(), psutil.Process(process.pid).children(recursive=True)
    assert not [one for one in below if token in " ".join(one.cmdline())]
    process.send_signal(signal.SIGUSR1)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, said
    assert slurm.asked.read_text().split() == ["requeue", str(os.getpid())]
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert not private.exists()
    assert not Path(f"/tmp/ray-{os.getpid()}").exists()
    assert token not in said

    process = slurm.start(*command)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "prepared: finished before, skipped" in said
    assert len(slurm.asked.read_text().splitlines()) == 1
    chronovox = Path(sys.executable).with_name("chronovox")
    whole = [chronovox, "run", recipe, "--executor", "local", "--runs", "whole"]
    subprocess.run(whole, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    assert results(run) == results(tmp_path / "whole/blobs")


def test_the_dockerfile_by_a_dry_parse():
    """No container engine builds it here; what it copies is there, what it installs is known, and no root runs it."""
    parser = DockerfileParser(path=str(ROOT / "Dockerfile"))
    steps = [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]
    assert [name for name, _ in steps if name == "FROM"] == ["FROM"]
    assert parser.baseimage == "python:3.11-slim"
    ours = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for name, value in steps if name == "COPY" for source in value.split()[:-1]}
    assert copied == sent
    assert all(any(f"{file}/".startswith(f"{source}/") for file in ours.splitlines()) for source in copied)
    assert {"ssm_ops", "pipeline", "cluster", "workflows"} <= copied
    (torch,) = [bound for bound in PROJECT["dependencies"] if bound.startswith("torch")]
    installs = [value for name, value in steps if name == "RUN" and "pip install" in value]
    assert f'"{torch}"' in installs[0]
    assert "whl/${TORCH}" in installs[0]
    assert ("ARG", "TORCH=cpu") in steps
    extras = re.search(r"\.\[([\w,]+)\]", installs[1]).group(1).split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    names = [name for name, _ in steps]
    assert steps[len(names) - 1 - names[::-1].index("USER")] == ("USER", "chronovox")
    assert max(at for at, name in enumerate(names) if name == "RUN") < names.index("USER")
    assert ("ENTRYPOINT", '["chronovox"]') in steps

"""The run killed for real, driver and workers, in training and in inference; the same command then finishes it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.storage import arrays, store
from tests.synthetic import write_recipe

COMMAND = Path(sys.executable).with_name("chronovox")
PATIENCE = 120.0


def start(recipe, folder, *options):
    return subprocess.Popen(
        [COMMAND, "run", recipe, "--runs", folder, "--workers", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(recipe, folder, *options):
    process = start(recipe, folder, *options)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


def kill_when(process, ready):
    """SIGKILL to the driver and every process below it, as soon as `ready()`; by handle."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run did not get as far as this test waits for"
        time.sleep(0.005)
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for victim in everyone:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=PATIENCE)
    process.stdout.close()
    process.stderr.close()
    _, alive = psutil.wait_procs(everyone, timeout=30)
    assert not alive
    return len(everyone)


def results(run):
    """Everything that must come out the same: losses, weights, prediction, scores; as bytes."""
    (model,), (forecast,), (scores,) = (list(run.glob(f"{stage}-*")) for stage in ("model", "forecast", "scores"))
    saved, _ = arrays.read_arrays(model / "checkpoint.zarr")
    return {
        "losses": (model / "history.jsonl").read_text(),
        "weights": {name: array.tobytes() for name, array in saved.items()},
        "prediction": store.read_frames(forecast / "prediction.zarr", None, 0, 240).tobytes(),
        "scores": (scores / "scores.json").read_text(),
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_in_train_and_in_infer_and_run_again(tmp_path):
    recipe = write_recipe(tmp_path, steps=160, chunk=3, frames=240, checkpoint_every=20)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(recipe, whole, "--executor", "local")  # never interrupted; the same plan gives the same bits without Ray

    run = broken / "blobs"
    victims = kill_when(start(recipe, broken), lambda: any(run.glob("model-*/step-0000004?.zarr")))
    assert victims > 3  # the driver, Ray's own processes, and the worker
    (model,) = run.glob("model-*")
    assert not (model / "SUCCESS").exists()

    kill_when(start(recipe, broken), lambda: committed(run) >= 20)
    assert json.loads((model / "manifest.json").read_text())["continued_from"] >= 40
    (forecast,) = run.glob("forecast-*")
    assert not (forecast / "SUCCESS").exists()
    done = committed(run)
    early = {
        path: path.stat().st_mtime_ns
        for shard in range(done)
        for path in forecast.glob(f"prediction.zarr/data/c/{shard}/**/*")
        if path.is_file()
    }
    assert len(early) == done

    out = finish(recipe, broken)
    assert "model: finished before, skipped" in out
    assert json.loads((forecast / "manifest.json").read_text())["continued_from"] == done
    assert committed(run) > done
    assert {path: path.stat().st_mtime_ns for path in early} == early  # committed chunks were not written again
    assert results(run) == results(whole / "blobs")


def committed(run):
    for path in run.glob("forecast-*/committed.json"):
        return json.loads(path.read_text())["series"]
    return 0

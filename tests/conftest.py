"""Shapes are checked while tests run: every annotated function of the two numeric packages goes through beartype."""

from jaxtyping import install_import_hook

install_import_hook(["ssm_ops", "pipeline"], "beartype.beartype")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from tests import synthetic  # noqa: E402


@pytest.fixture(autouse=True)
def fixed_threads():
    """Every test starts with two threads, whatever the one before it left."""
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def ray_executor():
    """One Ray of three CPU slots for all tests that want one; ended by its handle."""
    from cluster.ray_executor import RayExecutor

    executor = RayExecutor(workers=3, silence=60)
    yield executor
    executor.close()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def executor(request):
    """The same test on both executors, three workers each; on Ray among the slow ones."""
    from cluster import LocalExecutor

    return LocalExecutor(3) if request.param == "local" else request.getfixturevalue("ray_executor")


@pytest.fixture
def written(monkeypatch):
    """What workers of this process write, before the store rounds it to float32: call it for all frames in order."""
    from pipeline.storage import store

    frames, original = {}, store.write_frames

    def write(path, start, values):
        frames[start] = values
        return original(path, start, values)

    monkeypatch.setattr(store, "write_frames", write)
    return lambda: np.concatenate([frames[start] for start in sorted(frames)])


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folders of a finished run of the small synthetic recipe, in this process."""
    from cluster import LocalExecutor
    from workflows.language.load import load
    from workflows.run import run

    folder = tmp_path_factory.mktemp("finished")
    recipe = synthetic.write_recipe(folder)
    return run(load(recipe), folder / "runs", LocalExecutor(), synthetic.Silent())

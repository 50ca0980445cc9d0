"""A Ray of an executor, and where its token is to be seen: python -m tests.cluster.token_seen"""

import os
import time
from pathlib import Path

import psutil
import pytest
import ray

from cluster import ResourceError
from cluster.authentication import PATH, environment, knock
from cluster.ray_executor import RayExecutor


def main() -> None:
    executor = RayExecutor(workers=2)
    assert list(executor.stream(range, 3, threads=1)) == [0, 1, 2]
    path = Path(os.environ[PATH])
    token, processes = path.read_text(), psutil.Process().children(recursive=True)
    assert len(processes) > 3
    for process in processes:
        assert token not in " ".join(process.cmdline())
        assert token not in process.environ().values()
    node = ray._private.worker._global_node
    logs = [file for file in Path(node.get_session_dir_path()).rglob("*") if file.is_file()]
    assert len(logs) > 5
    assert not [file for file in logs if token.encode() in file.read_bytes()]
    print("nobody saw it")

    wrong = path.with_name("wrong")
    wrong.write_text("0" * 64)
    begun = time.monotonic()
    with environment({PATH: str(wrong)}), pytest.raises(ResourceError, match=f"refuses the token of {wrong}"):
        knock(node.gcs_address)
    print("refused")
    assert time.monotonic() - begun < 5
    wrong.unlink()

    executor.close()
    assert not [process for process in processes if process.is_running()]
    assert not path.parent.exists()
    print("all is gone")


if __name__ == "__main__":
    main()

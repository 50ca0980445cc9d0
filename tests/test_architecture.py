"""The drawn structure is the real one: import directions, the top level, and every file the README names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_import_contracts():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_ssm_ops_can_be_read_and_tested_alone():
    allowed = {"torch", "numpy", "numba", "llvmlite", "jaxtyping", "lazy_loader", "ssm_ops", *sys.stdlib_module_names}
    for path in (ROOT / "ssm_ops").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path


def test_the_top_level_is_what_was_agreed():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    top = {line.split("/")[0] for line in tracked.splitlines() if not line.startswith(".")}
    packages = {"pipeline", "ssm_ops", "workflows", "cluster", "tests"}
    papers = {
        "README.md",
        "pyproject.toml",
        "Makefile",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Dockerfile",
        "docs",
    }
    assert packages <= top <= packages | papers


def test_every_file_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"[\w/]+\.(?:py|yaml|md|png)\b", text))
    assert len(named) > 10
    named = {name for name in named if name != "RECIPE.yaml" and not name.startswith("runs/NAME/")}
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    missing = [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files.splitlines())]
    assert not missing


def test_the_readme_s_python_runs():
    """The first block; `tests/workflows/test_opened.py` runs the second."""
    scan, _ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    names: dict = {}
    exec(scan, names)
    whole, _ = names["scan"](names["x"], names["transition"], boundary=("reflect", "periodic"))
    names["torch"].testing.assert_close(
        names["torch"].cat([names["states"], names["more"]]), whole, rtol=1e-5, atol=1e-6
    )

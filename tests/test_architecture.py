"""The drawn structure is the real one: import directions, the top level, and every file the README names."""

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


def test_the_top_level_is_what_was_agreed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    top = {line.split("/")[0] for line in tracked.splitlines() if not line.startswith(".")}
    packages = {"pipeline", "ssm_ops", "workflows", "cluster", "tests"}
    papers = {"README.md", "pyproject.toml", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "docs"}
    assert packages <= top <= packages | papers


def test_every_file_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"[\w/]+\.(?:py|yaml|md|png)\b", text))
    assert len(named) > 10
    folders = [ROOT, *(ROOT / package for package in ("ssm_ops", "pipeline", "cluster", "workflows", "tests"))]
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert not missing

"""A stage: a function from finished folders to one new folder, named by the hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster import Executor
from pipeline.progress import Progress
from workflows.events import Lost, Pulse, Sent, Shard, Spread

OWN = "chronovox"
"""The distribution of the kinds that are not another package's."""

Said = Progress | Spread | Shard | Pulse | Sent | Lost
"""What a stage tells while it runs: how far it is; if it has workers, what they do."""

Run = Callable[[Any, dict[str, Path], Path, Executor], Iterator[Said]]


@dataclass(frozen=True)
class StageKind:
    """A kind of stage that recipes can name.

    Attributes:
        name: As written behind `stage:` in a recipe.
        settings: The dataclass of its settings.
        run: Runs it: settings, input folders by role, output folder, executor; yields progress, and what its
            workers do. What is told as done is committed: closed there, it can be continued.
        version: Raised whenever the same settings and inputs give another output.
        roles: The inputs it needs, each with the kind of stage it must come from.
        optional: Inputs it can do without, each with the kind of stage it must come from.
        others: The kinds of stage its freely named inputs may come from, if it takes such inputs.
        gathers: Whether an input that a matrix repeats is all its repetitions, and not the one of the same values.
        names_series: Where its settings name series of a `preprocess` stage, and which.
        files: Names of the settings that name files or folders outside the run, each one, several or none.
        resumes: Whether an interrupted run of it left something to continue from.
        again: What `run --from --to` calls: computes again what a folder holds of a span of time: settings, input
            folders, output folder, executor, the first and the last year or date. What it refuses is raised at the
            call.
        distributed: Whether it runs in the executor's workers, and not in the process that runs the workflow.
        makes: Another kind whose place its output can take: the same files, with the same meaning.
        distribution: The installed package that offers it; the catalogue says.
    """

    name: str
    settings: type
    run: Run
    version: int
    roles: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    gathers: bool = False
    names_series: Callable[[Any], Mapping[tuple[str | int, ...], str]] = lambda _: {}
    files: tuple[str, ...] = ()
    resumes: bool = False
    again: Callable[[Any, dict[str, Path], Path, Executor, str, str], Iterator[Said]] | None = None
    distributed: bool = False
    makes: str | None = None
    distribution: str = OWN


@dataclass(frozen=True)
class Stage:
    """One stage of a workflow.

    Attributes:
        name: Of the stage.
        kind: Of stage.
        settings: A dataclass of the kind's settings.
        inputs: The names of the stages that it takes, by role.
    """

    name: str
    kind: StageKind
    settings: Any
    inputs: Mapping[str, str]

    def fingerprint(self, upstream: Mapping[str, str]) -> str:
        """The hash of name, kind, version, settings and the fingerprints of the inputs; of another package's kind that
        package's name too, but not its version.

        Files count by content, not by path: the same archive in another place is the same archive. URLs count as such.
        """
        settings = asdict(self.settings)
        for key in self.kind.files:
            given = settings[key]
            digests = [path if "://" in path else content_digest(Path(path)) for path in names_in(given)]
            settings[key] = digests if isinstance(given, tuple) else next(iter(digests), None)
        identity = {
            "name": self.name,
            "kind": self.kind.name,
            "version": self.kind.version,
            "settings": settings,
            "inputs": {role: upstream[name] for role, name in self.inputs.items()},
        }
        if self.kind.distribution != OWN:
            identity["distribution"] = self.kind.distribution
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def names_in(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The files that a setting names: one, several, or none."""
    return (value,) if isinstance(value, str) else value or ()


def content_digest(path: Path) -> str:
    """Of a file's bytes; of a folder's files and their names in it."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        told = [(str(file.relative_to(path)), content_digest(file)) for file in inside]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _file_digest(path: Path, size: int, changed: int) -> str:
    """Read once in a process, unless the file was changed since: a plan and its run both ask."""
    del size, changed
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The kinds of stages, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from workflows.stage import StageKind

MODULES = {
    "ingest": "workflows.data_stages",
    "preprocess": "workflows.data_stages",
    "train": "workflows.model_stages",
    "infer": "workflows.model_stages",
    "rollout": "workflows.model_stages",
    "evaluate": "workflows.model_stages",
    "gather": "workflows.model_stages",
    "report": "workflows.model_stages",
}
"""Where each is; imported when a recipe names it, so that preparing data does without what models need."""


class Kinds(Mapping[str, StageKind]):
    """All kinds of stages."""

    def __getitem__(self, name: str) -> StageKind:
        return {kind.name: kind for kind in import_module(MODULES[name]).KINDS}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __contains__(self, name: object) -> bool:
        return name in MODULES

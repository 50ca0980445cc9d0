"""The kinds of stages, by name: Chronovox's own, and those of packages that offer some (entry points)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from pipeline.volume import Settings
from workflows.mistakes import RecipeError
from workflows.stage import OWN, StageKind

MODULES = {
    "ingest": "workflows.data_stages",
    "preprocess": "workflows.data_stages",
    "train": "workflows.model_stages",
    "infer": "workflows.model_stages",
    "rollout": "workflows.model_stages",
    "evaluate": "workflows.model_stages",
    "gather": "workflows.model_stages",
    "pace": "workflows.model_stages",
    "compare": "workflows.model_stages",
    "report": "workflows.model_stages",
}
"""Where each of Chronovox's own is; imported when a recipe names it, so that preparing data does without what models
need."""

GROUP = "chronovox.stages"
"""The entry points by which a package offers kinds: the name of each is the kind's, its object a `StageKind`."""


class Kinds(Mapping[str, StageKind]):
    """All kinds of stages. Packages are looked through when a kind is asked for, and imported when it is theirs.

    Args:
        plugins: Whether those of other packages count.
    """

    def __init__(self, *, plugins: bool = True):
        self._plugins = plugins

    def __getitem__(self, name: str) -> StageKind:
        """The kind.

        Raises:
            KeyError: There is none.
            RecipeError: Several packages offer it, or the one that does cannot be imported, or offers something else.
        """
        offers = self._offers.get(name, [])
        givers = [OWN] * (name in MODULES) + [offer.dist.name for offer in offers]
        if len(givers) > 1:
            raise RecipeError(
                f"the stage kind {name!r} is offered by {' and by '.join(givers)}; uninstall one of the packages, or "
                "have it call its kind otherwise"
            )
        if offers:
            return _taken(offers[0])
        return {kind.name: kind for kind in import_module(MODULES[name]).KINDS}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*MODULES, *self._offers)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in MODULES or name in self._offers

    @cached_property
    def _offers(self) -> dict[str, list[EntryPoint]]:
        """The entry points of other packages, by name; nothing is imported."""
        found: dict[str, list[EntryPoint]] = {}
        for offer in sorted(entry_points(group=GROUP), key=lambda one: one.dist.name) if self._plugins else ():
            found.setdefault(offer.name, []).append(offer)
        return found


def _taken(offer: EntryPoint) -> StageKind:
    """The kind that a package offers.

    Raises:
        RecipeError: It cannot be imported, or is none.
    """
    package = f"{offer.dist.name} {offer.dist.version}"
    try:
        kind = offer.load()
    except Exception as error:  # whatever its module does
        raise RecipeError(
            f"the stage kind {offer.name!r} of the package {package} cannot be imported ({offer.value}): "
            f"{type(error).__name__}: {error}; mend or update the package"
        ) from error
    if not isinstance(kind, StageKind) or kind.name != offer.name:
        what = f"the kind {kind.name!r}" if isinstance(kind, StageKind) else f"a {type(kind).__name__}"
        raise RecipeError(
            f"the package {package} offers {what} as {offer.name!r} ({offer.value}); it must be the StageKind of that "
            "name"
        )
    if not (dataclasses.is_dataclass(kind.settings) and issubclass(kind.settings, Settings)):
        raise RecipeError(
            f"the settings of the stage kind {offer.name!r} of the package {package} are {kind.settings!r}; they must "
            "be a dataclass that derives from pipeline.volume.Settings"
        )
    return dataclasses.replace(kind, distribution=offer.dist.name)

"""Recipes: YAML files read into a `Workflow` and checked before anything runs. Errors name line, key and remedy."""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Callable, Iterable, Sequence
from graphlib import CycleError
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from pipeline.archive import locate
from pipeline.volume import InputError
from workflows.catalog import Kinds
from workflows.matrix import OPENING, MatrixError, written_out
from workflows.stage import Stage, StageKind
from workflows.workflow import Workflow, in_order

Key = str | int


class RecipeError(ValueError):
    """A recipe that cannot be run as written."""


Find = Callable[[str, Path], Path | str]


def load(path: Path, changes: Sequence[str] = (), *, folder: Path | None = None, find: Find = locate) -> Workflow:
    """Reads a recipe.

    Args:
        path: The YAML file.
        changes: `STAGE.KEY=VALUE` settings that replace those of the file, values written as in YAML; also
            `matrix.KEY=[VALUE, ..]`. A stage that is repeated is changed as it is written, in all repetitions.
        folder: Where relative paths in it start; by default its own.
        find: Looks for a file that is named, from `folder`.

    Raises:
        RecipeError: The file or a change is wrong; the message says where and what to write instead.
    """
    recipe = _Recipe(path, _parse(path), folder or path.parent, find)
    for change in changes:
        recipe.change(change)
    return recipe.workflow()


def named(workflow: Workflow, name: str | None) -> Workflow:
    """The workflow under another name, if one is given.

    Raises:
        RecipeError: It is no name for a run.
    """
    if name is not None and not is_name(name):
        raise RecipeError(f"--name {name}: {A_NAME}")
    return workflow if name is None else dataclasses.replace(workflow, name=name)


A_NAME = "give a word of letters, digits, _ and -"


def is_name(name: object) -> bool:
    """Whether runs and stages may be called so."""
    return isinstance(name, str) and name.replace("_", "").replace("-", "").isalnum()


def _parse(path: Path) -> CommentedMap:
    text = ""
    try:
        text = path.read_text()
        tree = YAML(typ="rt").load(text)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}; give the path of a recipe") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not a text file; give the path of a recipe in YAML") from error
    except (YAMLError, ValueError) as error:  # ValueError: a date such as 2000-02-31
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        there = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
        hint = "; within braces put ${...} in quotes" if OPENING in there else ""
        raise RecipeError(f"{where}: not YAML: {_reason(error)}{hint}") from error
    if not isinstance(tree, CommentedMap):
        raise RecipeError(f"{path}: a recipe is a mapping with the keys name and stages")
    return tree


class _Recipe:
    """A parsed recipe, and where each key of it stands."""

    def __init__(self, path: Path, tree: CommentedMap, folder: Path, find: Find):
        self.path, self.tree, self.folder, self.find, self.kinds = path, tree, folder, find, Kinds()
        self.written: list[str] = []  # names of stages, before any is repeated

    def change(self, text: str) -> None:
        target, equals, value = text.partition("=")
        names = target.strip().split(".")
        if not equals or len(names) < 2:
            raise RecipeError(f"--set {text}: write STAGE.KEY=VALUE, as in --set forecast.chunk=7")
        stages = self.tree.get("stages")
        node = self.tree if names[0] == "matrix" and isinstance(self.tree.get("matrix"), dict) else stages
        if not isinstance(node, dict) or names[0] not in node:
            known = stages if isinstance(stages, dict) else ()
            raise RecipeError(f"--set {text}: no stage {names[0]!r}{_nearest(names[0], known)}")
        for name in names[:-1]:
            node = node.setdefault(name, CommentedMap())
            if not isinstance(node, dict):
                raise RecipeError(f"--set {text}: {name!r} has no keys of its own")
        try:
            node[names[-1]] = YAML(typ="safe").load(value)
        except (YAMLError, ValueError) as error:
            raise RecipeError(f"--set {text}: the value is not YAML: {_reason(error)}") from error

    def workflow(self) -> Workflow:
        self._keys((), ("name", "matrix", "stages"), required=("name", "stages"))
        name, stages = self.tree["name"], self.tree["stages"]
        if not is_name(name):
            self._fail(("name",), f"is {name!r}; {A_NAME}")
        if not isinstance(stages, CommentedMap) or not stages:
            self._fail(("stages",), "must map names of stages to their settings")
        self.written, self.tree["stages"] = list(map(str, stages)), self._written_out()
        built = {str(stage): self._stage(stage) for stage in self.tree["stages"]}
        self._cycles(built)
        for stage in built.values():
            self._inputs(stage, built)
        for stage in built.values():
            self._series(stage, built)
        return Workflow(name, built)

    def _written_out(self) -> CommentedMap:
        """The stages with all repetitions, see `workflows.matrix`."""
        bodies = filter(lambda body: isinstance(body, dict), self.tree["stages"].values())
        named = {kind for body in bodies if isinstance(kind := body.get("stage"), str) and kind in self.kinds}
        try:
            return written_out(self.tree, [name for name in named if self.kinds[name].gathers])
        except MatrixError as error:
            near = "" if error.word is None else _nearest(error.word, error.known)
            self._fail(error.place, f"{error}{near}")

    def _stage(self, name: Key) -> Stage:
        place, body = ("stages", name), self.tree["stages"][name]
        if not is_name(name):
            self._fail(place, "is no name for a stage; use letters, digits, _ and -")
        if not isinstance(body, CommentedMap) or not isinstance(body.get("stage"), str):
            self._fail(place, f"must be a mapping with a key stage: one of {', '.join(self.kinds)}")
        if body["stage"] not in self.kinds:
            self._fail((*place, "stage"), f"no stage kind {body['stage']!r}{_nearest(body['stage'], self.kinds)}")
        kind = self.kinds[body["stage"]]
        inputs = body.get("inputs", {})
        if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
            self._fail((*place, "inputs"), "must map roles to names of stages, as in {prepared: prepared}")
        body = {key: value for key, value in body.items() if key not in ("stage", "inputs")}
        return Stage(name, kind, self._settings(place, kind, body), dict(inputs))

    def _settings(self, place: tuple[Key, ...], kind: StageKind, body: dict) -> Any:
        try:
            settings = TypeAdapter(kind.settings).validate_json(json.dumps(body, default=str), strict=True)
        except ValidationError as error:
            self._explain(place, kind, body, error)
        found = {}
        for key in kind.files:
            try:
                given = getattr(settings, key)
                paths = [str(self.find(one, self.folder)) for one in ((given,) if isinstance(given, str) else given)]
                found[key] = paths[0] if isinstance(given, str) else tuple(paths)
            except InputError as error:
                self._fail((*place, key), str(error))
        return dataclasses.replace(settings, **found)

    def _explain(self, place: tuple[Key, ...], kind: StageKind, body: dict, error: ValidationError) -> typing.NoReturn:
        unknown = ("unexpected_keyword_argument", "extra_forbidden")
        first = min(  # a misspelt key is also a missing one; of a union, what went furthest was meant
            error.errors(), key=lambda e: (e["type"] not in unknown, -len(_inside(body, e["loc"])))
        )
        inner = _inside(body, first["loc"])
        if first["type"] in unknown:
            known = _fields(kind.settings, inner[:-1])
            extra = ("stage", "inputs") if len(inner) == 1 else ()
            self._fail((*place, *inner), f"unknown key {inner[-1]!r}{_nearest(str(inner[-1]), (*known, *extra))}")
        if first["type"] in ("missing", "missing_argument"):
            self._fail((*place, *inner), f"the key {first['loc'][-1]!r} is missing")
        reason = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] == "value_error" else f" (it is {first['input']!r})"
        self._fail((*place, *inner), f"{reason[0].lower()}{reason[1:]}{given}")

    def _cycles(self, stages: dict[str, Stage]) -> None:
        """Looked for first: of a cycle it would also be true, but no help, that some input is of the wrong kind."""
        try:
            in_order({name: stage.inputs.values() for name, stage in stages.items()})
        except CycleError as error:
            cycle = error.args[1]
            self._fail(("stages", cycle[1], "inputs"), f"the inputs form a cycle: {' -> '.join(cycle)}; take one out")

    def _inputs(self, stage: Stage, stages: dict[str, Stage]) -> None:
        place, kind = ("stages", stage.name, "inputs"), stage.kind
        named = {**kind.roles, **kind.optional}
        for role in kind.roles:
            if role not in stage.inputs:
                self._fail(place, f"the input {role!r} is missing; a {kind.name} stage needs {', '.join(kind.roles)}")
        for role, source in stage.inputs.items():
            if role not in named and kind.others is None:
                self._fail((*place, role), f"unknown input {role!r}{_nearest(role, named)}")
            if source not in stages:
                self._fail((*place, role), f"no stage {source!r}{_nearest(source, (*self.written, *stages))}")
            expected, actual = named.get(role, kind.others), stages[source].kind.name
            if actual != expected:
                self._fail((*place, role), f"{source!r} is a stage of kind {actual}; expected one of kind {expected}")
        if kind.others is not None and not stage.inputs:
            self._fail(place, f"a {kind.name} stage needs at least one input of kind {kind.others}")

    def _series(self, stage: Stage, stages: dict[str, Stage]) -> None:
        for key, series in stage.kind.names_series(stage.settings).items():
            known = (stages[stage.inputs["prepared"]] if "prepared" in stage.kind.roles else stage).inputs
            if series not in known and not any(series.startswith(f"{name}.") for name in known):  # its tiles and runs
                self._fail(("stages", stage.name, *key), f"no series {series!r}{_nearest(series, known)}")

    def _keys(self, place: tuple[Key, ...], known: Iterable[str], required: Iterable[str]) -> None:
        node = self.tree
        for key in node:
            if key not in known:
                self._fail((*place, key), f"unknown key {key!r}{_nearest(str(key), known)}")
        for key in required:
            if key not in node:
                self._fail(place, f"the key {key!r} is missing")

    def _fail(self, place: tuple[Key, ...], reason: str) -> typing.NoReturn:
        line = _line(self.tree, place)
        where = f"{self.path}:{line}" if line else str(self.path)
        raise RecipeError(f"{where}: {'.'.join(map(str, place))}{': ' if place else ''}{reason}")


def _reason(error: YAMLError | ValueError) -> str:
    """What the parser says is wrong, on one line."""
    return getattr(error, "problem", None) or " ".join(str(error).split())


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (
        f"; did you mean {near[0]!r}?"
        if near
        else f"; known are {', '.join(known)}"
        if known
        else "; none is known here"
    )


def _line(tree: Any, place: Sequence[Key]) -> int | None:
    """The line (from 1) of the deepest key of `place` that the file holds."""
    line = None
    for key in place:
        try:
            line = (tree.lc.key(key) if isinstance(tree, CommentedMap) else tree.lc.item(key))[0] + 1
            tree = tree[key]
        except (KeyError, TypeError, IndexError, AttributeError):
            break
        if not isinstance(tree, CommentedMap | CommentedSeq):
            break
    return line


def _inside(body: Any, place: Sequence[Key]) -> tuple[Key, ...]:
    """The part of a validator's location that exists in the recipe (it also names members of unions)."""
    inner: list[Key] = []
    for key in place:
        if (isinstance(body, dict) and key in body) or (isinstance(body, list) and isinstance(key, int)):
            inner.append(key)
            body = body[key]
    return tuple(inner)


def _fields(settings: type, place: Sequence[Key]) -> list[str]:
    """The keys known at `place` inside a settings dataclass."""
    for key in place:
        hints = typing.get_type_hints(settings)
        if key in hints:  # not the place in a list nor the name in a mapping, whose members are of one kind
            settings = _dataclass_in(hints[key])
    return [field.name for field in dataclasses.fields(settings)]


def _dataclass_in(hint: Any) -> Any:
    """The dataclass that a type is, or is a union or list of."""
    if dataclasses.is_dataclass(hint):
        return hint
    return next(filter(None, map(_dataclass_in, typing.get_args(hint))), None)

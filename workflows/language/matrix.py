"""A recipe's matrix: stages that are written once and repeated, once for each of several values.

    matrix: {seed: [0, 1, 2]}

A stage that mentions `${seed}` in its settings is three stages, `model-0`, `model-1` and `model-2`, and so is one with
an input of these: it goes with the same value. What mentions none is there once, for all. A kind of stage that gathers
takes all of its inputs' repetitions, but for the keys that it mentions itself.

A value is anything that a recipe can hold; `${fold.test}` is the part `test` of one that has names in it. A text that
is a mention and nothing else becomes the value, of its type; within a longer text it is written out.

Nothing else becomes of it: the recipe means what it means with all stages written by hand, fingerprints included.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ruamel.yaml.comments import CommentedMap

from workflows.language.environment import NAME
from workflows.language.lines import put
from workflows.language.mentions import KEY, MENTION, OPENING, as_text, filled, texts
from workflows.mistakes import Place, RecipeError, nearest

Choice = Mapping[str, int]
"""Of some keys of the matrix which of their values, from 0."""

MOST = 1000
"""Stages of a recipe with a matrix; more are a slip."""

WORD = re.compile(r"[A-Za-z0-9_]+")


def written_out(tree: CommentedMap, gathering: Collection[str]) -> CommentedMap:
    """The stages of a recipe, all repetitions written out in the place of what is repeated. Every key knows the line
    that it came from.

    Args:
        tree: The recipe, whose stages are a mapping. What else is wrong with them is left as it is.
        gathering: The kinds of stages that gather.

    Raises:
        RecipeError: The matrix is no mapping of names to lists of different values, a mention is of nothing that it
            has or is where none can be, a key is mentioned nowhere, or the stages are too many or share a name.
    """
    matrix, stages = Matrix(tree.get("matrix", {})), tree["stages"]
    keys = repeated_for(stages, {name: matrix.mentioned(name, stages[name]) for name in stages}, gathering)
    for key in matrix.values:
        if not any(key in own for own in keys.values()):
            raise RecipeError(f"no stage mentions ${{{key}}}; mention it in a setting, or take it out", ("matrix", key))
    if matrix.values and (count := sum(map(matrix.count, keys.values()))) > MOST:
        raise RecipeError(f"the recipe has {count} stages, and {MOST} at most; give fewer values", ("matrix",))
    result = CommentedMap()
    for name, own in keys.items():
        for choice in matrix.choices(own):
            repetition = matrix.name(name, choice)
            if repetition in result:
                raise RecipeError(f"two stages, one of them repeated, are {repetition!r}; rename one", ("stages", name))
            body = matrix.filled(stages[name], choice, ("stages", name))
            if sources := inputs_of(body):
                body["inputs"] = matrix.inputs(sources, choice, keys)
            put(result, repetition, body, stages, name)
    return result


class Matrix:
    """The values of each key, and what they make of a stage.

    Attributes:
        values: By key, in the order of the recipe.
        labels: What names of stages have of each value: the value itself, if all of the key's are whole numbers from 0
            on or words; else its number among them, from 1.
    """

    def __init__(self, matrix: Any):
        if not isinstance(matrix, dict):
            raise RecipeError("must map names to lists of values, as in {seed: [0, 1, 2]}", ("matrix",))
        self.values: dict[str, list] = {}
        self.labels: dict[str, list[str]] = {}
        for key, values in matrix.items():
            refuse_values(key, values)
            self.values[key] = list(values)
            plain = all(isinstance(value, str | int) and not isinstance(value, bool) for value in values)
            words = list(map(str, values))
            if not plain or not all(map(WORD.fullmatch, words)):
                words = [str(number) for number in range(1, len(values) + 1)]
            self.labels[key] = words

    def mentioned(self, name: Any, body: Any) -> set[str]:
        """The keys that a stage mentions."""
        found = set()
        for place, text, is_key in texts(body, ("stages", name)):
            if is_key:
                raise RecipeError(f"{text!r} is a name, and names cannot be mentions; mention keys in settings", place)
            if place[2:3] == ("inputs",):
                raise RecipeError("inputs name stages as they are written; a repetition is found by its value", place)
            if OPENING in MENTION.sub("", text):
                raise RecipeError(f"{text!r} is no mention; write ${{KEY}} or ${{KEY.NAME}}", place)
            found |= {self._key(path, place) for path in MENTION.findall(text)}
        return found

    def count(self, keys: Collection[str]) -> int:
        """How many repetitions there are of a stage that is repeated for these keys."""
        return math.prod(len(self.values[key]) for key in keys)

    def choices(self, keys: Collection[str]) -> Iterator[Choice]:
        """Them: all combinations of the keys' values, the last key's running fastest."""
        ordered = [key for key in self.values if key in keys]
        for numbers in itertools.product(*(range(len(self.values[key])) for key in ordered)):
            yield dict(zip(ordered, numbers, strict=True))

    def name(self, base: Any, choice: Choice) -> Any:
        """`model-0`."""
        return "-".join([str(base), *(self.labels[key][number] for key, number in choice.items())]) if choice else base

    def inputs(self, sources: Mapping[str, str], choice: Choice, keys: Mapping[str, set[str]]) -> CommentedMap:
        """Of a stage of this choice: of each input the repetitions that go with it; where they are several, all of
        them, the role named as they are.

        Args:
            sources: The stages by role, as they are written.
            keys: For which keys each stage is repeated.
        """
        result = CommentedMap()
        for role, source in sources.items():
            own = keys.get(source, set())
            same = {key: number for key, number in choice.items() if key in own}
            for others in self.choices(own - choice.keys()):
                both = {key: (same | others)[key] for key in self.values if key in own}
                put(result, self.name(role, others), self.name(source, both), sources, role)
        return result

    def filled(self, body: Any, choice: Choice, place: Place) -> Any:
        """A stage with values for mentions."""
        value = functools.partial(self._value, choice)
        return filled(body, place, MENTION, value, lambda path, where: as_text(value(path, where), path, where))

    def _key(self, path: str, place: Place) -> str:
        key = path.split(".")[0]
        if key not in self.values:
            what = "the matrix has no key" if self.values else "the recipe has no matrix, and so no"
            hint = (
                f"; a variable of the environment is ${{{NAME}.{key}}}" if key.isupper() else nearest(key, self.values)
            )
            raise RecipeError(f"{what} {key!r}{hint}", place)
        return key

    def _value(self, choice: Choice, path: str, place: Place) -> Any:
        key, *names = path.split(".")
        value = self.values[key][choice[key]]
        for name in names:
            if not isinstance(value, dict) or name not in value:
                which = f"${{{path}}}: value {choice[key] + 1} of {key!r} has no {name!r}"
                raise RecipeError(which + nearest(name, value if isinstance(value, dict) else ()), place)
            value = value[name]
        return value


def repeated_for(
    stages: Mapping[str, Any], mentioned: Mapping[str, set[str]], gathering: Collection[str]
) -> dict[str, set[str]]:
    """For which keys each stage is repeated: those that it mentions, and, unless it gathers, those of its inputs."""
    keys = {name: set(own) for name, own in mentioned.items()}
    following = [name for name, body in stages.items() if isinstance(body, dict) and body.get("stage") not in gathering]
    changed = True
    while changed:  # sources may be written behind what takes them, and, in a mistake, in a circle
        changed = False
        for name in following:
            found = keys[name].union(*(keys.get(source, ()) for source in inputs_of(stages[name]).values()))
            changed |= found != keys[name]
            keys[name] = found
    return keys


def inputs_of(body: Any) -> Mapping[str, str]:
    """The inputs of a stage by role; none where what is there is not that."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    proper = isinstance(inputs, dict) and all(isinstance(one, str) for each in inputs.items() for one in each)
    return inputs if proper else {}


def refuse_values(key: Any, values: Any) -> None:
    """Refuses a key of the matrix that is no word, or has no list of different values that stand for themselves."""
    place = ("matrix", key)
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise RecipeError(f"{key!r} is no name for a key; use letters, digits and _, a letter first", place)
    if key == NAME:
        raise RecipeError(
            f"${{{NAME}.VARIABLE}} mentions variables of the environment; give the key another name", place
        )
    if not isinstance(values, list) or not values:
        raise RecipeError(f"is {json.dumps(values, default=str)}; give a list of values, as in [0, 1, 2]", place)
    seen = []
    for number, value in enumerate(values):
        for where, text, _ in texts(value, (*place, number)):
            raise RecipeError(f"{text!r} mentions a key within the matrix; write the value out", where)
        told = json.dumps(value, default=str)
        if told in seen:
            raise RecipeError(f"has {told} twice; give each value once", (*place, number))
        seen.append(told)

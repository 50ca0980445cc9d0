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

import itertools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq, LineCol

Place = tuple[str | int, ...]
"""The keys that lead somewhere in a recipe."""

Choice = Mapping[str, int]
"""Of some keys of the matrix which of their values, from 0."""

MOST = 1000
"""Stages of a recipe with a matrix; more are a slip."""

OPENING = "${"
MENTION = re.compile(r"\$\{([^{}]*)\}")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORD = re.compile(r"[A-Za-z0-9_]+")


class MatrixError(ValueError):
    """A matrix, or a mention of it, that means nothing.

    Attributes:
        place: Where.
        word, known: What was written, and what might have been meant; `None` where that does not help.
    """

    def __init__(self, place: Place, reason: str, word: str | None = None, known: Collection[str] = ()):
        super().__init__(reason)
        self.place, self.word, self.known = place, word, known


def written_out(tree: CommentedMap, gathering: Collection[str]) -> CommentedMap:
    """The stages of a recipe, all repetitions written out in the place of what is repeated. Every key knows the line
    that it came from.

    Args:
        tree: The recipe, whose stages are a mapping. What else is wrong with them is left as it is.
        gathering: The kinds of stages that gather.

    Raises:
        MatrixError: The matrix is no mapping of names to lists of different values, a mention is of nothing that it
            has or is where none can be, a key is mentioned nowhere, or the stages are too many or share a name.
    """
    matrix, stages = Matrix(tree.get("matrix", {})), tree["stages"]
    keys = repeated_for(stages, {name: matrix.mentioned(name, stages[name]) for name in stages}, gathering)
    for key in matrix.values:
        if not any(key in own for own in keys.values()):
            raise MatrixError(("matrix", key), f"no stage mentions ${{{key}}}; mention it in a setting, or take it out")
    if matrix.values and (count := sum(map(matrix.count, keys.values()))) > MOST:
        raise MatrixError(("matrix",), f"the recipe has {count} stages, and {MOST} at most; give fewer values")
    result = CommentedMap()
    for name, own in keys.items():
        for choice in matrix.choices(own):
            repetition = matrix.name(name, choice)
            if repetition in result:
                raise MatrixError(("stages", name), f"two stages, one of them repeated, are {repetition!r}; rename one")
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
            raise MatrixError(("matrix",), "must map names to lists of values, as in {seed: [0, 1, 2]}")
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
                raise MatrixError(place, f"{text!r} is a name, and names cannot be mentions; mention keys in settings")
            if place[2:3] == ("inputs",):
                raise MatrixError(place, "inputs name stages as they are written; a repetition is found by its value")
            if OPENING in MENTION.sub("", text):
                raise MatrixError(place, f"{text!r} is no mention; write ${{KEY}} or ${{KEY.NAME}}")
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

    def filled(self, node: Any, choice: Choice, place: Place) -> Any:
        """A part of a stage with values for mentions."""
        if isinstance(node, str):
            whole = MENTION.fullmatch(node)
            if whole:
                return self._value(whole[1], choice, place)
            return MENTION.sub(lambda mention: self._text(mention[1], choice, place), node)
        if isinstance(node, dict):
            result = CommentedMap()
            for key, value in node.items():
                put(result, key, self.filled(value, choice, (*place, key)), node, key)
            return result
        if isinstance(node, list):
            items = CommentedSeq(self.filled(value, choice, (*place, number)) for number, value in enumerate(node))
            return with_lines(items, node)
        return node

    def _key(self, path: str, place: Place) -> str:
        key = path.split(".")[0]
        if key not in self.values:
            what = "the matrix has no key" if self.values else "the recipe has no matrix, and so no"
            raise MatrixError(place, f"{what} {key!r}", key, self.values)
        return key

    def _value(self, path: str, choice: Choice, place: Place) -> Any:
        key, *names = path.split(".")
        value = self.values[key][choice[key]]
        for name in names:
            if not isinstance(value, dict) or name not in value:
                which = f"${{{path}}}: value {choice[key] + 1} of {key!r} has no {name!r}"
                raise MatrixError(place, which, name, list(map(str, value)) if isinstance(value, dict) else ())
            value = value[name]
        return value

    def _text(self, path: str, choice: Choice, place: Place) -> str:
        value = self._value(path, choice, place)
        if value is None or isinstance(value, dict | list | bool):
            told = json.dumps(value, default=str)
            raise MatrixError(place, f"${{{path}}} is {told}, and only texts and numbers fit within a text")
        return str(value)


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
        raise MatrixError(place, f"{key!r} is no name for a key; use letters, digits and _, a letter first")
    if not isinstance(values, list) or not values:
        raise MatrixError(place, f"is {json.dumps(values, default=str)}; give a list of values, as in [0, 1, 2]")
    seen = []
    for number, value in enumerate(values):
        for where, text, _ in texts(value, (*place, number)):
            raise MatrixError(where, f"{text!r} mentions a key within the matrix; write the value out")
        told = json.dumps(value, default=str)
        if told in seen:
            raise MatrixError((*place, number), f"has {told} twice; give each value once")
        seen.append(told)


def texts(node: Any, place: Place) -> Iterator[tuple[Place, str, bool]]:
    """The texts in part of a recipe that look as if they mentioned something: where, and whether as a key."""
    if isinstance(node, str):
        if OPENING in node:
            yield place, node, False
    elif isinstance(node, dict):
        for key, value in node.items():
            if OPENING in str(key):
                yield (*place, key), str(key), True
            yield from texts(value, (*place, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from texts(value, (*place, number))


def put(result: CommentedMap, key: Any, value: Any, source: Mapping, old: Any) -> None:
    """Adds a key, of the line that the key `old` of `source` has."""
    result[key] = value
    lines = source.lc.data if isinstance(source, CommentedMap) else None
    if lines and old in lines:
        result.lc.add_kv_line_col(key, lines[old])


def with_lines(items: CommentedSeq, source: Sequence) -> CommentedSeq:
    """The items, each of the line that it has in `source`."""
    if isinstance(source, CommentedSeq):
        setattr(items, LineCol.attrib, source.lc)
    return items

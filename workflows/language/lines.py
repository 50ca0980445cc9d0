"""Where in its file each key of a parsed recipe stands; parts that are copied or changed know it still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq, LineCol

from workflows.mistakes import Place


def line_of(tree: Any, place: Place) -> int | None:
    """The line (from 1) of the deepest key of `place` that the tree holds, and knows the line of."""
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


def put(result: CommentedMap, key: Any, value: Any, source: Mapping, old: Any) -> None:
    """Adds a key, of the line that the key `old` of `source` has."""
    result[key] = value
    lines = source.lc.data if isinstance(source, CommentedMap) else None
    if lines and old in lines:
        result.lc.add_kv_line_col(key, lines[old])


def put_at(node: CommentedMap | CommentedSeq, key: Any, value: Any, line: int) -> None:
    """Sets a key of a mapping, or a number of a list, and says that it stands in this line."""
    node[key] = value
    if isinstance(node, CommentedMap):
        node.lc.add_kv_line_col(key, [line - 1, 0, line - 1, 0])
    else:
        node.lc.add_idx_line_col(key, [line - 1, 0])


def commented(value: Any) -> Any:
    """The same mappings and lists, as a parsed recipe has them, of no known line."""
    if isinstance(value, dict):
        return CommentedMap((key, commented(one)) for key, one in value.items())
    return CommentedSeq(map(commented, value)) if isinstance(value, list | tuple) else value


def with_lines(items: CommentedSeq, source: Sequence) -> CommentedSeq:
    """The items, each of the line that it has in `source`."""
    if isinstance(source, CommentedSeq):
        setattr(items, LineCol.attrib, source.lc)
    return items

"""The drawings are what the code computes, and legible in light and dark."""

import re
from xml.etree import ElementTree

import pytest

from tests.docs.drawings import carry, exchange, waves
from tests.docs.drawings.canvas import STYLE
from tests.docs.drawings.pictures import FOLDER, pictures


@pytest.fixture(scope="module")
def made():
    return pictures()


def test_they_are_what_is_computed(made):
    there = {path.name: path.read_text() for path in FOLDER.glob("*.svg")}
    assert there.keys() == made.keys()
    assert [name for name in made if made[name] != there[name]] == [], "make them anew: make docs"


def test_they_stay_within_their_cards(made):
    for name, text in made.items():
        root = ElementTree.fromstring(text)
        width, height = (float(root.attrib[side]) for side in ("width", "height"))
        for node in root.iter():
            across = [float(node.attrib[key]) for key in ("x",) if key in node.attrib]
            down = [float(node.attrib[key]) for key in ("y",) if key in node.attrib]
            points = [point.split(",") for point in node.attrib.get("points", "").split()]
            across += [float(x) for x, _ in points]
            down += [float(y) for _, y in points]
            assert all(0 <= x <= width for x in across), name
            assert all(0 <= y <= height for y in down), name


def test_light_and_dark_have_the_same_colours():
    light, dark = (set(re.findall(r"(--[\w-]+):", part)) for part in STYLE.split("@media"))
    assert light == dark == set(re.findall(r"var\((--[\w-]+)\)", STYLE))


def test_what_they_tell_is_so():
    curves = carry.computed()
    both = [alone + carried for alone, carried in zip(curves.alone, curves.carried, strict=True)]
    assert both == pytest.approx(curves.whole, abs=1e-5)
    assert max(curves.carried[: carry.LENGTH]) == 0 < min(curves.carried[carry.LENGTH :])

    found, seconds = waves.passes()
    for worker in range(waves.WORKERS):
        own = sorted(one.start for one in found if one.worker == worker)
        ends = sorted(one.stop for one in found if one.worker == worker)
        assert all(end <= start + 1e-9 for end, start in zip(ends, own[1:], strict=False))
    assert {one.shard for one in found if one.what != "keep"} == set(range(waves.SHARDS))
    assert max(one.stop for one in found) == pytest.approx(seconds)

    count = {name: exchange.messages(name) for name in exchange.EXCHANGES}
    assert len(count["chain"]) == exchange.SHARDS - 1 == max(one.round for one in count["chain"])
    assert max(one.round for one in count["all-gather"]) == 1

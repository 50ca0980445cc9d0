"""The reference is what the code says of itself, and its Markdown shows it as it stands there."""

import pytest
from markdown_it import MarkdownIt

from tests.docs.reference import commands, python
from tests.docs.reference.markdown import escaped, item, prose
from tests.docs.reference.pages import FOLDER, pages


@pytest.fixture(scope="module")
def made():
    return pages()


def test_it_is_what_the_docstrings_say(made):
    there = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    assert there.keys() == made.keys()
    assert [name for name in made if made[name] != there[name]] == [], "write it anew: make docs"


def test_nothing_is_left_out(monkeypatch):
    monkeypatch.setitem(commands.GROUPS, "This machine", ())
    with pytest.raises(ValueError, match="doctor"):
        commands.page()
    monkeypatch.setitem(python.SECTIONS["workflows"], "A run", ("Run", "Result"))
    with pytest.raises(ValueError, match="open_run"):
        python.page()


def shown(markdown):
    """The words that a reader sees, code in its marks."""
    tokens = [one for token in MarkdownIt().parse(markdown) for one in token.children or [token]]
    words = {"softbreak": " ", "paragraph_close": "\n"}
    return "".join(
        f"`{one.content}`" if one.type == "code_inline" else one.content or words.get(one.type, "") for one in tokens
    )


@pytest.mark.parametrize(
    "text",
    [
        "h_t = a^dt_t * h_{t-1} + x_t of (time, channel, *grid) and (batch, *grid), where |a| < 1 and <b> is none",
        "a " * 57 + "is - 1 * 2 + 3 of it",
        "b " * 57 + "in 1. or 2) of them",
        "c " * 50 + "`{a1b: raw_a1b, and: more}` stays together",
    ],
)
def test_texts_are_shown_as_they_stand(text):
    assert shown(prose(text)) == text + "\n"
    assert shown(item("`x`", escaped(text))) == f"`x`: {text}\n"
    assert all(len(line) <= 120 for line in prose(text).splitlines())

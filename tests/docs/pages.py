"""What a page of `docs/` has to be run, looked at and saved, by its Markdown.

    ```console              after `$ ` a command, which is run; the other lines are what it prints
    ```sh                   every line a command, which is run
    ```python               a program of its own, which is run
    ```yaml recipe.yaml     a block of any language with a name is saved as that file
    ```                     only looked at, as are all others: each `chronovox ...` must be one that there is

A page is gone through from its beginning to its end in one folder, empty at first. A command ends with code 0, or with
what its comment says: `$ chronovox verify broken.zarr # exit code 1`. Each has a shell of its own; a line that ends
with a backslash goes on in the next. `<!-- not run: WHY -->` before a block: it is looked at only.
"""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

PROMPT = "$ "
RUN = ("console", "sh", "python")
NOT_RUN = re.compile(r"<!-- not run: \S.*-->")
EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")
STOPS = {"|", "||", "&", "&&", ";", ">", ">>", "<"}
"""Words of a shell's line that end a command."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands.
        line: Of its first line, from 1.
        language: Empty where none is said.
        name: Of the file that it is; empty of most.
        text: What it has.
        run: Whether it is to be run.
    """

    page: Path
    line: int
    language: str
    name: str
    text: str
    run: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line of a shell.

    Attributes:
        text: The line; where it went on in the next ones, all of it.
        said: The lines that the page shows under it.
    """

    text: str
    said: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """That it ends with."""
        found = EXIT_CODE.search(self.text)
        return int(found.group(1)) if found else 0


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    before = ""
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        if token.type == "fence":
            language, _, name = token.info.strip().partition(" ")
            run = language in RUN and not name and not NOT_RUN.fullmatch(before.strip())
            yield Block(page, token.map[0] + 2, language, name, token.content, run)
        before = token.content if token.type == "html_block" else ""


def commands(block: Block) -> list[Command]:
    """The commands of a block of a shell, or of one without a language."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        found: list[Command] = []
        for line in lines:
            if line.startswith(PROMPT):
                found.append(Command(line.removeprefix(PROMPT)))
            elif found:
                found[-1] = Command(found[-1].text, (*found[-1].said, line))
        return found
    bare = [line.removeprefix(PROMPT).strip() for line in lines]
    return [Command(line) for line in bare if line and not line.startswith("#")]


def calls(line: str) -> Iterator[list[str]]:
    """The words behind each `chronovox` of a line; what may be left out, `[--now]`, as if it were given."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    call: list[str] | None = None
    for word in [*words, ";"]:
        if word == "chronovox" or word in STOPS:
            if call is not None:
                yield call
            call = [] if word == "chronovox" else None
        elif call is not None:
            call.append(re.sub(r"^\[(-.*)\]$", r"\1", word))


def inline(page: Path) -> Iterator[Token]:
    """What stands in the paragraphs, headings, lists and tables of a page: text, code, links, pictures."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield from token.children or ()


def mentions(page: Path) -> Iterator[str]:
    """Each `chronovox ...` within the text of a page."""
    return (token.content for token in inline(page) if token.type == "code_inline" and "chronovox " in token.content)


def links(page: Path) -> Iterator[str]:
    """The addresses of the links and pictures of a page."""
    for token in inline(page):
        address = token.attrs.get("href" if token.type == "link_open" else "src")
        if address is not None:
            yield str(address)


@functools.cache
def headings(page: Path) -> set[str]:
    """The names by which links find the headings of a page, as GitHub makes them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    texts = [text.content for head, text in itertools.pairwise(tokens) if head.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}

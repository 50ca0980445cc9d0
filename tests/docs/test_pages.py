"""The pages say what is so: commands that there are and that end well, links that lead somewhere, programs that run."""

import functools
import re

import pytest
import typer

from tests.docs.pages import PAGES, ROOT, Block, blocks, calls, commands, headings, links, mentions
from tests.docs.session import Session
from workflows.cli import app

SHELLS = ("", "console", "sh", "bash", "text", "yaml")
"""Languages of blocks that may hold commands, if only in comments."""

MAKE = re.compile(r"^make (\w+)")
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

RUN = [page for page in PAGES if any(block.run for block in blocks(page)) and page.name != "README.md"]


@functools.cache
def command_line():
    return typer.main.get_command(app)


def refuse_mistakes(words, command=None, parent=None):
    """Parses the words behind `chronovox` as the command line does, and runs nothing."""
    command = command or command_line()
    context = command.make_context(command.name, list(words), parent=parent)
    if hasattr(command, "commands") and "--help" not in words:
        _, found, rest = command.resolve_command(context, list(words))
        refuse_mistakes(rest, found, context)


def known(words):
    """Whether words name a command and options that it has; arguments may be missing, as within a sentence."""
    command, rest = command_line(), list(words)
    while rest and hasattr(command, "commands"):
        command = command.commands.get(rest.pop(0))
        if command is None:
            return False
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    return all(word.split("=")[0] in options for word in rest if re.match(r"--?[a-z]", word))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_those_that_there_are(page):
    wrong = []
    for block in blocks(page):
        for command in commands(block) if block.language in SHELLS and not block.name else ():
            for words in calls(command.text) if re.search(r"(^|\s)chronovox\s", command.text) else ():
                try:
                    refuse_mistakes(words)
                except Exception as mistake:
                    wrong.append(f"{block}: {command.text}: {mistake}")
            wrong += [f"{block}: {command.text}" for word in MAKE.findall(command.text) if word not in TARGETS]
    wrong += [text for text in mentions(page) if not all(map(known, calls(text)))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    wrong = []
    for address in links(page):
        path, _, part = address.partition("#")
        there = (page.parent / path).resolve() if path else page
        if "://" in address:
            continue
        if not there.exists() or (part and there.suffix == ".md" and part not in headings(there)):
            wrong.append(address)
    assert not wrong, f"{page.name} links to what is not there: {wrong}"


def test_programs_are_python():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python":
                compile(block.text, str(block), "exec")


def test_mistakes_are_found(tmp_path):
    """The page's parser itself: each of these would be a mistake of a page."""
    page = tmp_path / "page.md"
    page.write_text(
        "`chronovox run --adress X` and `chronovox rnu`\n\n"
        "```console\n$ chronovox plan r.yaml \\\n    --wrkers 2 # exit code 3\nsaid\n```\n\n"
        "<!-- not run: needs a cluster -->\n```sh\nA=1 chronovox list | cat; chronovox chek r.yaml\n```\n"
    )
    found, unrun = blocks(page)
    assert (found.run, unrun.run, found.line) == (True, False, 4)
    (plan,) = commands(found)
    assert (plan.code, plan.said) == (3, ("said",))
    assert [list(calls(text)) for text in mentions(page)] == [[["run", "--adress", "X"]], [["rnu"]]]
    assert not any(known(words) for text in mentions(page) for words in calls(text))
    listed, checked = calls(commands(unrun)[0].text)
    refuse_mistakes(listed)
    for words in (*calls(plan.text), checked):
        with pytest.raises(Exception, match=r"No such (option|command)"):
            refuse_mistakes(words)


def test_a_session_sees_what_goes_wrong(tmp_path):
    def block(text, language="console"):
        return Block(ROOT / "docs" / "page.md", 1, language, "", text, True)

    with Session(tmp_path) as session:
        session.take(Block(ROOT / "docs" / "page.md", 1, "yaml", "a.yaml", "a: 1\n", False))
        session.take(block("$ grep -q 1 a.yaml && exit 3 # exit code 3\n"))
        session.take(block("open('b', 'w').close()\n", "python"))
        session.take(block("$ test -f b\n"))
        with pytest.raises(AssertionError, match="exit code 1, not 0, of docs/page.md:1: false | true"):
            session.take(block("$ false | true\n"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_to_be_run_runs(page, tmp_path):
    with Session(tmp_path) as session:
        for block in blocks(page):
            session.take(block)

"""`chronovox mixers`: all of them with their modes, one of them whole, and a name that none has."""

import json

import pytest
from typer.testing import CliRunner

from pipeline.volume import InputError
from ssm_ops.mixers.catalogue import MIXERS
from workflows.cli import app


def mixers(*arguments):
    return CliRunner().invoke(app, ["mixers", *arguments])


def test_all_are_listed_with_their_modes():
    lines = {line.split()[0]: line for line in mixers().output.splitlines()}
    assert set(MIXERS) < set(lines)
    for name, member in MIXERS.items():
        assert ("side by side" if member.kind.side_by_side else "in turn") in lines[name]
        assert ("at once" if member.kind.parallel else "in a loop") in lines[name]
        assert all(what in lines[name] for what in (*member.takes, *member.initials))
    found = json.loads(mixers("--json").output)
    assert list(found) == list(MIXERS)
    assert found["lstm"]["initial"][0] == "orthogonal"


@pytest.mark.parametrize("name", MIXERS)
def test_one_is_told_whole(name):
    said = mixers(name).output
    assert said.startswith(f"{name}, {MIXERS[name].family}: ")
    assert "carry" in said
    assert "Args:" in said


def test_another_name():
    done = mixers("convlst")
    assert isinstance(done.exception, InputError)
    assert "mixer is 'convlst', which is none; did you mean convlstm" in str(done.exception)

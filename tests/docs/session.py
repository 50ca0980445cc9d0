"""A reader of a page: what it has to be run, in one folder, from the beginning to the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.request import urlopen

from tests.docs.pages import Block, Command, calls, commands

BIN = Path(sys.executable).parent
PATIENCE = 600.0
"""Seconds that a command may take."""

PAGES = ("view", "board")
"""The commands that serve a page until Ctrl-C."""

ADDRESS = "http://127.0.0.1:8265"
"""Where pages say that the cluster is which they started."""


class Session(AbstractContextManager):
    """Saves and runs blocks in a folder. Commands that serve a page are asked for it once and ended; a cluster stays
    up until the end, and commands find it by what it printed.

    Args:
        folder: Where all happens.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120", "OMP_WAIT_POLICY": "passive"
        }  # fmt: skip
        self.cluster: Server | None = None
        self.addresses: list[str] = []

    def __exit__(self, *_: object) -> None:
        if self.cluster is not None:
            self.cluster.end()

    def take(self, block: Block) -> None:
        """Does with a block what a reader does.

        Raises:
            AssertionError: A command ended as the page does not say.
        """
        if block.name:
            (self.folder / block.name).write_text(block.text)
        elif block.run and block.language == "python":
            self._run([sys.executable, "-"], block, 0, text=block.text)
        elif block.run:
            for command in commands(block):
                self._take(command, block)

    def _take(self, command: Command, block: Block) -> None:
        called = next(calls(command.text), [])
        if called[:1] and called[0] in PAGES:
            self._look(command, block)
        elif called[:2] == ["cluster", "up"]:
            self._start(command)
        else:
            text = command.text.replace(ADDRESS, self.addresses[0]) if self.addresses else command.text
            self._run(["bash", "-uo", "pipefail", "-c", text], block, command.code)

    def _run(self, arguments: list[str], block: Block, code: int, text: str | None = None) -> None:
        done = subprocess.run(
            arguments, input=text, cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        told = f"{block}: {text or arguments[-1]}\n{done.stdout}\n{done.stderr}"
        ended = done.returncode if done.returncode >= 0 else 128 - done.returncode  # killed, as shells tell it
        assert ended == code, f"exit code {ended}, not {code}, of {told}"
        assert "Traceback" not in done.stderr, told

    def _look(self, command: Command, block: Block) -> None:
        with Server(command.text, self.folder, self.environment) as server:
            link = server.until(r"(http://127\.0\.0\.1:\d+/\?token=\S+)")
            with urlopen(link, timeout=60) as answer:
                assert b"Bokeh" in answer.read(), block
            assert server.end() == 0, f"{block}: {server.said}"

    def _start(self, command: Command) -> None:
        self.cluster = Server(command.text, self.folder, self.environment)
        self.addresses = [self.cluster.until(rf"{name} RECIPE --address (\S+)") for name in ("submit", "run")]
        exported = re.search(r"export (.*)", self.cluster.said)
        for pair in exported.group(1).split() if exported else ():
            name, _, value = pair.partition("=")
            self.environment[name] = value


class Server(AbstractContextManager):
    """A command that runs until Ctrl-C.

    Attributes:
        said: What it printed so far.
    """

    def __init__(self, command: str, folder: Path, environment: dict[str, str]):
        self.said = ""
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.said += line

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.end()

    def until(self, pattern: str) -> str:
        """Waits until it has printed something, and gives the part in parentheses."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.said)):
            alive = self._process.poll() is None
            if not alive or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"no {pattern!r} in what was printed:\n{self.said}")
            time.sleep(0.05)
        return found.group(1)

    def end(self) -> int:
        """Ctrl-C; its exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(120)
        self._reader.join()
        self._process.stdout.close()
        return code

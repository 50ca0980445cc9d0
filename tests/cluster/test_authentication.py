"""Tokens: fresh ones are private and go away, the user's are used, and refusals are one message, at once."""

import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster import ResourceError, authentication
from cluster.authentication import MODE, PATH, VALUE, knock, showing_token, wanting_token
from cluster.jobs import Jobs


@pytest.fixture
def home(tmp_path):
    """A user without a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path))
        for name in (MODE, VALUE, PATH):
            patch.delenv(name, raising=False)
        yield tmp_path
    authentication.has_token()  # what Ray remembers is of this user


def test_a_fresh_token_is_private_and_goes_away(home):
    seen = []
    for _ in range(2):
        with wanting_token() as fresh:
            assert (os.environ[MODE], os.environ[PATH]) == ("token", str(fresh))
            assert stat.S_IMODE(fresh.stat().st_mode) == 0o600
            assert stat.S_IMODE(fresh.parent.stat().st_mode) == 0o700
            seen.append(fresh.read_text())
        assert not fresh.parent.exists()
        assert MODE not in os.environ
        assert PATH not in os.environ
    assert len(set(seen)) == 2
    assert all(len(token) == 64 for token in seen)
    assert not list(home.iterdir())  # Ray alone would have written ~/.ray/auth_token


@pytest.mark.parametrize("where", ["the home", "a path", "a variable"])
def test_the_user_s_own_token_is_used_where_it_lies(home, monkeypatch, where):
    if where == "a variable":
        monkeypatch.setenv(VALUE, "f" * 64)
    else:
        path = home / (".ray/auth_token" if where == "the home" else "mine")
        path.parent.mkdir(exist_ok=True)
        path.write_text("f" * 64)
        if where == "a path":
            monkeypatch.setenv(PATH, str(path))
    before = dict(os.environ)
    with wanting_token() as fresh:
        assert fresh is None
        assert os.environ == before | {MODE: "token"}
    with showing_token():
        assert os.environ[MODE] == "token"
    monkeypatch.setenv(MODE, "disabled")
    with showing_token():
        assert os.environ[MODE] == "disabled"


def test_a_token_that_is_not_there(home, monkeypatch):
    with showing_token():
        assert MODE not in os.environ  # the cluster may not want one
    monkeypatch.setenv(MODE, "token")
    with pytest.raises(ResourceError, match=r"RAY_AUTH_MODE is token, and there is no token; put .* mode 600"):
        showing_token().__enter__()
    monkeypatch.setenv(PATH, str(home / "gone"))
    for way in (showing_token, wanting_token):
        with pytest.raises(ResourceError, match=r"RAY_AUTH_TOKEN_PATH is .*gone, where no token can be read"):
            way().__enter__()


def test_who_is_not_a_cluster_is_told_apart_at_once(monkeypatch):
    monkeypatch.setattr(authentication, "REACH_SECONDS", 0.5)
    with pytest.raises(ResourceError, match=r"no Ray cluster answers at 127.0.0.1:1 \(.*Connection refused\)"):
        knock("127.0.0.1:1")
    with socket.create_server(("0.0.0.0", 0)) as deaf, pytest.raises(ResourceError, match=r"\(Deadline Exceeded\)"):
        knock(f"127.0.0.1:{deaf.getsockname()[1]}")
    with pytest.raises(ResourceError, match="Invalid address format: hello; give HOST:PORT"):
        knock("hello")


@contextmanager
def dashboard(code, body=b"{}"):
    """A web server that answers everything alike; yields its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_dashboards_that_do_not_let_us_in(home, monkeypatch):
    with (
        dashboard(401) as url,
        pytest.raises(ResourceError, match=f"cluster at {url} wants a token, and there is none"),
    ):
        Jobs(url)
    token = secrets.token_hex(32)
    (home / "mine").write_text(token)
    monkeypatch.setenv(PATH, str(home / "mine"))
    with dashboard(403) as url, pytest.raises(ResourceError, match=r"refuses the token of .*mine; put") as caught:
        Jobs(url)
    assert token not in str(caught.value)
    with (
        dashboard(200, b"<html>") as url,
        pytest.raises(ResourceError, match="does not answer as the dashboard of Ray"),
    ):
        Jobs(url)
    with dashboard(200, b'{"ray_version": "2.60.0"}') as url:
        monkeypatch.setenv("RAY_ADDRESS", url)  # Ray would take it before what it is given
        with pytest.raises(ResourceError, match="no dashboard answers at http://127.0.0.1:1; is the cluster up"):
            Jobs("http://127.0.0.1:1")
    with pytest.raises(ResourceError, match="10.0.0.1:6379 is no URL of a dashboard; give it as http://HOST:8265"):
        Jobs("10.0.0.1:6379")


@pytest.mark.parametrize(
    ("ray", "python", "message"),
    [("2.59.0", "3.11.2", r"Ray is \S+ here and 2.59.0 on the"), (None, "3.9.1", r"Python is \S+ here and 3.9 on the")],
)
def test_other_versions_are_refused_with_both_numbers(home, ray, python, message):
    del home
    import ray as ours

    with dashboard(200, b'{"ray_version": "2.60.0"}') as url:
        jobs = Jobs(url)
    jobs._ask = lambda _: {"rayVersion": ray or ours.__version__, "pythonVersion": python}
    with pytest.raises(ResourceError, match=message):
        jobs.refuse_other_versions()


@pytest.mark.slow
def test_a_cluster_of_ours_wants_its_token_and_nobody_sees_it(tmp_path):
    """In a process of its own, whose Ray is real."""
    environment = {name: value for name, value in os.environ.items() if name not in (MODE, VALUE, PATH)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.token_seen"],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["nobody saw it", "refused", "all is gone"]
    assert not list(tmp_path.iterdir())

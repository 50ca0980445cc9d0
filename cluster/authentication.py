"""Ray's token authentication: on wherever a cluster is started or joined. Tokens are in files of mode 600 alone.

Ray looks for a token in `RAY_AUTH_TOKEN`, in the file that `RAY_AUTH_TOKEN_PATH` names, and in `~/.ray/auth_token`, and
wants one where `RAY_AUTH_MODE` is `token`. Left to itself it writes a token to the last of these when it starts a
cluster, in a file that others may read, and shows none to a cluster whose address it is given.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import AuthenticationTokenLoader, Config
from ray.core.generated.gcs_service_pb2 import GetClusterIdRequest
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.exceptions import AuthenticationError

from cluster.resources import ResourceError

MODE, VALUE, PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"

REACH_SECONDS = 10.0
"""How long a cluster may take to answer."""

REMEDY = f"put the cluster's token into a file of mode 600 and set {PATH} to it, and {MODE}=token"


@contextmanager
def wanting_token() -> Iterator[Path | None]:
    """While it is open, a cluster that this process starts wants a token: the user's, or a fresh one, whose file is
    yielded and removed at the end.

    Raises:
        ResourceError: The user's token cannot be read.
    """
    with ExitStack() as stack:
        fresh = None
        if not has_token():
            fresh = Path(stack.enter_context(TemporaryDirectory(prefix="chronovox-"))) / "token"
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        stack.enter_context(environment({MODE: "token"} | ({PATH: str(fresh)} if fresh else {})))
        yield fresh


@contextmanager
def showing_token() -> Iterator[None]:
    """While it is open, this process shows the user's token, where there is one, to clusters that it joins. One without
    authentication does not mind. `RAY_AUTH_MODE=disabled` is obeyed.

    Raises:
        ResourceError: The token cannot be read, or there is none and `RAY_AUTH_MODE` says that one is to be shown.
    """
    said = os.environ.get(MODE)
    found = said != "disabled" and has_token()
    if said == "token" and not found:
        raise ResourceError(f"{MODE} is token, and there is no token; {REMEDY}")
    with environment({MODE: "token"} if found else {}):
        yield


def has_token() -> bool:
    """Whether the user has a token where Ray looks for one.

    Raises:
        ResourceError: `RAY_AUTH_TOKEN_PATH` names no file with a token.
    """
    loader = AuthenticationTokenLoader.instance()
    loader.reset_cache()
    try:
        return loader.has_token(ignore_auth_mode=True)
    except AuthenticationError as error:
        raise ResourceError(f"{PATH} is {os.environ.get(PATH)}, where no token can be read; {REMEDY}") from error


def where_from() -> str:
    """In words, where the token lies that this process shows."""
    if os.environ.get(VALUE):
        return VALUE
    return os.environ.get(PATH) or "~/.ray/auth_token"


def knock(address: str) -> str:
    """Asks what listens at `host:port`, or at what `auto` stands for, whether it is a cluster that takes our token. Ray
    itself would try for 20 s, and for minutes where nothing listens. Returns the address as `host:port`.

    Raises:
        ResourceError: Nothing answers, it is no Ray, or it refuses the token or the lack of one.
    """
    try:
        found = canonicalize_bootstrap_address(address)
    except (ConnectionError, ValueError) as error:
        raise ResourceError(f"no Ray cluster answers at {address}: {error}; give HOST:PORT of its head") from error
    name = found if address == "auto" else address
    with init_grpc_channel(found) as channel:
        try:
            NodeInfoGcsServiceStub(channel).GetClusterId(GetClusterIdRequest(), timeout=REACH_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise refusal(name) from error
            why = error.details().rpartition("last error: ")[2]
            raise ResourceError(
                f"no Ray cluster answers at {name} ({why}); check `ray status` there, or leave --address out"
            ) from error
    return found


def refusal(address: str) -> ResourceError:
    """What to say of a cluster that does not let us in."""
    if os.environ.get(MODE) == "token":
        return ResourceError(f"the cluster at {address} refuses the token of {where_from()}; {REMEDY}")
    why = f"{MODE} is {os.environ[MODE]}" if os.environ.get(MODE) else "there is none here"
    return ResourceError(f"the cluster at {address} wants a token, and {why}; {REMEDY}")


@contextmanager
def environment(given: Mapping[str, str]) -> Iterator[None]:
    """Sets variables that Ray reads for a while; Ray, which remembers what it read, looks again."""
    before = {name: os.environ.get(name) for name in (MODE, PATH, *given)}
    os.environ.update(given)
    _read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
        _read_again()


def _read_again() -> None:
    """In this order: a thread of Ray that still ends must not look for a token that is gone."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()

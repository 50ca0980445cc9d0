"""Runs as jobs of a Ray cluster, through the HTTP of its dashboard: submitted, looked at, ended."""

from __future__ import annotations

import asyncio
import logging
import platform
import secrets
import shlex
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from cluster.authentication import environment, refusal, showing_token
from cluster.resources import ResourceError

REACH_SECONDS, ANSWER_SECONDS = 10.0, 30.0
"""How long a dashboard may take to accept a connection, and to answer."""

READY_SECONDS, NOT_READY = 60.0, "No available agent"
"""How long a cluster may take from its first answer until it takes jobs, and what it says meanwhile."""

LOOK_SECONDS = 0.5
"""How often we look whether something has happened."""

QUIET_SECONDS = 30.0
"""After how long without news of a job we look whether it still runs."""

STOP_SECONDS = 20
"""How long a driver has to end itself before Ray kills it; its own measure is 3 s."""

RUN = "run"
"""The kind of jobs that are runs; others help them."""

CANCELLED = (130, 143)
"""The exit codes of a driver that was told to end, see `workflows.commands.showing`."""

TALKATIVE = tuple(
    f"ray.{module}"
    for module in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging")
)
"""Loggers of Ray's client."""

LIVE = ("pending", "running")


@dataclass(frozen=True)
class Job:
    """A job that was submitted for a run.

    Attributes:
        id: Ray's submission id: the run's name and when it was submitted.
        run: The name of the run.
        kind: `RUN`, or what else it does for the run.
        runs: The folder that holds the run, on the cluster.
        state: `pending`, `running`, `succeeded`, `failed`, `cancelled` by a request or signal, or `stopped` by Ray.
        began, ended: When, UTC; `ended` is `None` while it lives.
        code: The exit code of its driver, if that has ended by itself.
        message: What Ray has to say.
        number: Ray's own id of the job, if its driver came as far as to join the cluster.
    """

    id: str
    run: str
    kind: str
    runs: str
    state: str
    began: datetime
    ended: datetime | None
    code: int | None
    message: str
    number: str | None

    @property
    def live(self) -> bool:
        return self.state in LIVE


class Jobs:
    """The jobs of a cluster.

    Args:
        url: Of its dashboard, `http://HOST:8265`.

    Raises:
        ResourceError: Nothing answers there, it is no Ray, or it refuses our token or the lack of one.
    """

    def __init__(self, url: str):
        if not url.startswith(("http://", "https://")):
            raise ResourceError(f"{url} is no URL of a dashboard; give it as http://HOST:8265")
        self.url = url.rstrip("/")
        with self._answering(), showing_token(), environment({"RAY_API_SERVER_ADDRESS": self.url}):
            self._client = _Client(self.url)

    def refuse_other_versions(self) -> None:
        """What runs here must be what runs there.

        Raises:
            ResourceError: Ray differs, or Python in more than the last number.
        """
        there = self._ask("/api/v0/cluster_metadata")
        for what, ours, theirs in (
            ("Ray", ray.__version__, there["rayVersion"]),
            ("Python", _minor(platform.python_version()), _minor(there["pythonVersion"])),
        ):
            if ours != theirs:
                raise ResourceError(
                    f"{what} is {ours} here and {theirs} on the cluster at {self.url}; submit from an environment with "
                    f"{what} {theirs}, or use an image with {what} {ours}"
                )

    def submit(self, run: str, command: Sequence[str], folder: Path, *, runs: str, kind: str = RUN) -> Job:
        """Starts a job: `command` in a copy of `folder`, which comes along.

        Args:
            run: The name of the run.
            command: Program and arguments. They are shown to all who see the dashboard.
            folder: The working directory, at most 500 MB.
            runs: The folder that holds the run, on the cluster.
            kind: `RUN`, or what else it does for the run.
        """
        environment = {"working_dir": str(folder), "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}}
        return self._submit(run, command, environment, runs, kind)

    def submit_beside(self, job: Job, command: Sequence[str], *, kind: str) -> Job:
        """Starts another job for a run, in the working directory of its job."""
        with self._answering():
            environment = self._client.get_job_info(job.id).runtime_env or {}
        return self._submit(job.run, command, environment, job.runs, kind)

    def _submit(self, run: str, command: Sequence[str], environment: Mapping, runs: str, kind: str) -> Job:
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        name = f"{run}-{now}-{secrets.token_hex(2)}" + ("" if kind == RUN else f"-{kind}")
        deadline = time.monotonic() + READY_SECONDS
        with self._answering():
            while True:
                try:
                    self._client.submit_job(
                        entrypoint=f"exec {shlex.join(command)}",  # signals meet the program, not a shell
                        submission_id=name,
                        runtime_env=dict(environment),
                        metadata={"chronovox": kind, "run": run, "runs": runs},
                    )
                    break
                except RuntimeError as error:
                    if NOT_READY not in str(error) or time.monotonic() >= deadline:
                        raise
                    time.sleep(LOOK_SECONDS)
        return self.look(name)

    def look(self, name: str) -> Job:
        """A job by its id."""
        with self._answering():
            return _job(self._client.get_job_info(name))

    def all(self) -> list[Job]:
        """All runs, the latest first."""
        with self._answering():
            details = self._client.list_jobs()
        found = [_job(one) for one in details if one.submission_id and (one.metadata or {}).get("chronovox") == RUN]
        return sorted(found, key=lambda job: job.began, reverse=True)

    def latest(self, run: str) -> Job | None:
        """The latest job of a run."""
        return next((job for job in self.all() if job.run == run), None)

    def log(self, job: Job) -> str:
        """What a job has printed until now."""
        with self._answering():
            return self._client.get_job_logs(job.id)

    def follow(self, job: Job) -> Iterator[str]:
        """What a job prints, from its beginning, as it comes, until it ends."""
        with self._answering(), asyncio.Runner() as runner:
            pieces = self._client.tail_job_logs(job.id)
            while True:
                piece = runner.get_loop().create_task(_next(pieces))
                while not runner.run(_done(piece)):
                    if not self.look(job.id).live:
                        return
                if piece.result() is None:
                    return
                yield piece.result()

    def await_end(self, job: Job, seconds: float) -> Job:
        """The job when it has ended, or as it is after so many seconds."""
        deadline = time.monotonic() + seconds
        while (job := self.look(job.id)).live and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return job

    def await_free(self, job: Job, seconds: float) -> bool:
        """Waits until no actor and no place of a job is left, and no process of its actors; whether that is so after so
        many seconds at most."""
        deadline = time.monotonic() + seconds
        while self._holds(job):
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _holds(self, job: Job) -> bool:
        if job.number is None:
            return False
        actors = self._state("actors", job_id=job.number)
        places = self._state("placement_groups", creator_job_id=job.number)
        alive = {(one["node_id"], one["pid"]) for one in self._state("workers", is_alive="True")}
        return (
            any(one["state"] != "DEAD" or (one["node_id"], one["pid"]) in alive for one in actors)
            or any(one["state"] != "REMOVED" for one in places)
        )  # fmt: skip

    def stop(self, job: Job) -> None:
        """Has Ray end a job: SIGTERM to its driver, SIGKILL `STOP_SECONDS` later. Returns at once."""
        with self._answering():
            self._client.stop_job(job.id)

    def _state(self, what: str, **equal: str) -> list[dict[str, Any]]:
        filters = "".join(f"&filter_keys={key}&filter_predicates=%3D&filter_values={equal[key]}" for key in equal)
        return self._ask(f"/api/v0/{what}?detail=1&limit=10000{filters}")["result"]["result"]

    def _ask(self, endpoint: str) -> dict[str, Any]:
        with self._answering():
            answer = self._client._do_request("GET", endpoint)
            answer.raise_for_status()
            return answer.json()["data"]

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What goes wrong with a dashboard, in words. Ray's client tells what it does; it is not asked to."""
        levels = {name: logging.getLogger(name).level for name in TALKATIVE}
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        except AuthenticationError as error:
            with showing_token():
                raise refusal(self.url) from error
        except (requests.exceptions.JSONDecodeError, KeyError) as error:
            raise ResourceError(f"{self.url} does not answer as the dashboard of Ray does; give its URL") from error
        except RuntimeError as error:
            raise ResourceError(f"the dashboard at {self.url} refuses: {error}; look there what is wrong") from error
        except OSError as error:  # of requests, too
            raise ResourceError(
                f"no dashboard answers at {self.url}; is the cluster up, and the port forwarded (ssh -L, kubectl "
                f"port-forward)? ({type(error).__name__})"
            ) from error
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


class _Client(JobSubmissionClient):
    """Ray's client, which waits for ever."""

    def _do_request(self, *given: Any, **more: Any) -> requests.Response:
        return super()._do_request(*given, timeout=(REACH_SECONDS, ANSWER_SECONDS), **more)


def _job(told: JobDetails) -> Job:
    metadata, ended = told.metadata or {}, told.end_time
    return Job(
        id=told.submission_id,
        run=metadata.get("run", ""),
        kind=metadata.get("chronovox", ""),
        runs=metadata.get("runs", ""),
        state="cancelled" if told.driver_exit_code in CANCELLED else told.status.value.lower(),
        began=datetime.fromtimestamp(told.start_time / 1e3, UTC),
        ended=datetime.fromtimestamp(ended / 1e3, UTC) if ended else None,
        code=told.driver_exit_code,
        message=told.message or "",
        number=told.job_id,
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


async def _next(pieces: AsyncIterator[str]) -> str | None:
    return await anext(pieces, None)


async def _done(task: asyncio.Task) -> bool:
    done, _ = await asyncio.wait({task}, timeout=QUIET_SECONDS)
    return bool(done)

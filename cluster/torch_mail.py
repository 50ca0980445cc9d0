"""Messages between walking workers over torch.distributed: for clusters that start their processes without Ray."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import torch
import torch.distributed as dist

from cluster.mail import Key, Mailbox, WorkerLost


class TorchMail:
    """Puts messages into the mailboxes of other processes of a group, and what they send into this one's.

    For `Worker.walk`: `deliver` is its transport. Messages are pickled and travel through the memory of the CPU (gloo).
    A thread takes them in until every other process has said goodbye.

    Args:
        group: A gloo group, a process a worker.
        mail: This worker's mailbox.
    """

    def __init__(self, group: dist.ProcessGroup, mail: Mailbox):
        self._group, self._mail, self._sending = group, mail, threading.Lock()
        self._rank, self._size = dist.get_rank(group), dist.get_world_size(group)
        self._thread = threading.Thread(target=self._take_in, name="mail", daemon=True)
        self._thread.start()

    def deliver(self, to: int, key: Key, value: Any) -> None:
        """Sends a message; returns when it is on its way."""
        self._send(to, (key, value))

    def close(self, seconds: float) -> None:
        """Says goodbye, and waits until all others have.

        Raises:
            WorkerLost: They did not within `seconds`.
        """
        for other in range(self._size):
            if other != self._rank:
                self._send(other, None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise WorkerLost(f"worker {self._rank} waited {seconds:.0f} s for the others to say that they are done")

    def _send(self, to: int, message: Any) -> None:
        letter = torch.frombuffer(bytearray(pickle.dumps(message, protocol=5)), dtype=torch.uint8)
        with self._sending:
            dist.send(torch.tensor([len(letter)]), group=self._group, group_dst=to)
            dist.send(letter, group=self._group, group_dst=to)

    def _take_in(self) -> None:
        """Until all have said goodbye. Where a process is lost this ends, and whoever waits for a message says so."""
        present = self._size - 1
        while present > 0:
            length = torch.zeros(1, dtype=torch.int64)
            try:
                source = dist.recv(length, group=self._group)
                letter = torch.empty(int(length), dtype=torch.uint8)
                dist.recv(letter, src=source, group=self._group)
            except RuntimeError:
                return
            message = pickle.loads(letter.numpy().tobytes())
            if message is None:
                present -= 1
            else:
                self._mail.put(*message)

"""The messages of one wave: the real exchanges, played by workers that write down who sends what to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.exchange import EXCHANGES
from cluster.layout import in_time
from cluster.mail import Key, Mailbox, Post
from ssm_ops.carry import Place
from tests.docs.drawings.canvas import Canvas

SHARDS = 8

LEFT, WIDTH, GAP, TOP, BOTTOM = 34, 236, 42, 116, 316


@dataclass(frozen=True)
class Message:
    """From one worker to another.

    Attributes:
        round: How many messages in a row it is the end of.
        carry: Whether it is a carry; else a summary.
    """

    sender: int
    taker: int
    round: int
    carry: bool


class Summary(str):
    """The shards that it is of, in words: composition is joining."""

    forgets = False

    def __call__(self, carry: str | None) -> str:
        return (carry or "") + self

    def then(self, later: Summary) -> Summary:
        return Summary(self + later)


class Box(Mailbox):
    """A mailbox that counts how many messages in a row led to what its worker knows."""

    def __init__(self):
        super().__init__()
        self.round = 0
        self._rounds: dict[Key, int] = {}

    def bring(self, key: Key, value: Any, round_: int) -> None:
        self._rounds[key] = round_
        self.put(key, value)

    def take(self, key: Key) -> Any:
        self.round = max(self.round, self._rounds.get(key, 0))
        return super().take(key)


def messages(name: str) -> list[Message]:
    """Those of a wave, from its summaries to the carries that enter its shards.

    Raises:
        AssertionError: A carry is not what all shards before make of it, in the order of time.
    """
    layout, boxes, found = in_time([SHARDS], SHARDS), [Box() for _ in range(SHARDS)], []

    def deliver_from(rank: int) -> Callable[[int, Key, Any], None]:
        def deliver(to: int, key: Key, value: Any) -> None:
            carry = not isinstance(value, Summary)
            found.append(Message(rank, to, boxes[rank].round + 1, carry))
            boxes[to].bring(key, value, boxes[rank].round + 1)

        return deliver

    boxes[0].put((Place(0, 0), 0), "")
    exchanges = [EXCHANGES[name](layout, Post(rank, boxes[rank], deliver_from(rank))) for rank in range(SHARDS)]
    for rank, exchange in enumerate(exchanges):
        exchange.offer(Place(0, rank), 0, Summary(rank))
    for rank, exchange in enumerate(exchanges):
        place, own = Place(0, rank), Summary(rank)
        taking = exchange.carry(place, 0, own)
        entering = None
        try:
            next(taking)
        except StopIteration as stop:
            entering = stop.value
        assert entering == "".join(map(str, range(rank)))
        exchange.leave(place, 0, entering, own)
    return found


def draw() -> str:
    """The drawing."""
    drawn = {name: messages(name) for name in EXCHANGES}
    canvas = Canvas(368, f"The messages of a wave of {SHARDS} shards, round after round, for each exchange")
    canvas.text(28, 34, f"From summaries to carries: a wave of {SHARDS} shards", "title")
    canvas.text(
        28,
        56,
        "a message below another waits for it; those beside each other may travel at the same time",
        "small soft",
    )
    for number, (name, found) in enumerate(drawn.items()):
        left = LEFT + number * (WIDTH + GAP)
        last = max(message.round for message in found)
        canvas.text(left, 86, name, "bold")
        told = f"{len(found)} messages, {last} in a row"
        canvas.text(left + WIDTH, 86, told, "small soft", "end")
        step, row = WIDTH / (SHARDS - 1), (BOTTOM - TOP) / last
        for shard in range(SHARDS):
            x = left + shard * step
            canvas.text(x, 108, str(shard), "small bold", "middle")
            canvas.line([(x, TOP), (x, BOTTOM)], "thin")
        for message in found:
            y = TOP + (message.round - 1) * row
            start, end = (left + message.sender * step, y + 2), (left + message.taker * step, y + row - 2)
            canvas.arrow(start, end, "purple" if message.carry else "orange", fine=True)
    canvas.arrow((28, 344), (52, 344), "orange")
    canvas.text(60, 348, "a summary, of one shard or of several", "small bold orange")
    canvas.arrow((340, 344), (364, 344), "purple")
    canvas.text(372, 348, "a carry", "small bold purple")
    return canvas.svg()

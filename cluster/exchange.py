"""Exchange: from the summaries of shards to the carry that enters each of them, worker to worker.

Every worker runs the same coroutine for its own shard; messages alone connect them. Three ways, one contract:

    known(place, point)              whether the carry is here already
    offer(place, point, summary)     the summary is known: tells whoever can use it
    carry(place, point, summary)     coroutine: the carry that enters
    leave(place, point, carry, summary)   sends on what leaves

`Chain` passes the carry from each shard to the next. `AllGather` gives every summary of a wave to all that follow in
it, who fold them in the order of time: one hop a wave instead of one a shard, and the chain's bits. `Tree` composes the
summaries of a wave in a logarithmic number of rounds (Brent and Kung, "A Regular Layout for Parallel Adders" (1982));
another order of composition, so its bits differ from the chain's by round-off. Messages go forward in time only:
workers that are run one after the other in one process find them there.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from cluster.layout import Layout, Wave
from cluster.mail import Post, Receiving
from ssm_ops.carry import Place

Carry = Any


class Summary(Protocol):
    """What a shard does to the carry that enters it. It may be sent: `nbytes` is then what that costs.

    Attributes:
        forgets: Whether what leaves does not depend on what enters.
    """

    forgets: bool

    def __call__(self, carry: Carry) -> Carry: ...

    def then(self, later: Summary) -> Summary: ...


class Exchange(Protocol):
    """See the module.

    Attributes:
        regroups: Whether summaries are composed in another order than time's, which changes the bits by round-off.
    """

    regroups: ClassVar[bool]

    def known(self, place: Place, point: int) -> bool: ...
    def offer(self, place: Place, point: int, summary: Summary) -> None: ...
    def carry(self, place: Place, point: int, summary: Summary | None = None) -> Receiving: ...
    def leave(self, place: Place, point: int, carry: Carry, summary: Summary) -> None: ...


class Chain:
    """Each shard's carry to the next one. As many hops in a row as shards, and the fewest bytes."""

    regroups = False

    def __init__(self, layout: Layout, post: Post):
        self._layout, self._post = layout, post

    def known(self, place: Place, point: int) -> bool:
        return self._post.mail.here((place, point))

    def offer(self, place: Place, point: int, summary: Summary) -> None:
        if summary.forgets:  # nobody needs to wait for what enters here
            self._pass_on(place, point, summary(None))

    def carry(self, place: Place, point: int, summary: Summary | None = None) -> Receiving:
        del summary
        return (yield from self._post.receive((place, point)))

    def leave(self, place: Place, point: int, carry: Carry, summary: Summary) -> None:
        if not summary.forgets:
            self._pass_on(place, point, summary(carry))

    def _pass_on(self, place: Place, point: int, leaving: Carry) -> None:
        after = self._layout.next(place)
        if after is not None:
            self._post.send(self._layout.owner(after), (after, point), leaving)


class _Waves:
    """What the two ways that work wave by wave share: the carry that enters a wave goes to its first shard's worker."""

    def __init__(self, layout: Layout, post: Post):
        self._layout, self._post = layout, post

    def _send(self, to: Place, key: Any, value: Any) -> None:
        self._post.send(self._layout.owner(to), key, value)

    def _summary(self, key: Any, point: int) -> Receiving:
        return self._post.adopt((yield from self._post.receive(key)), point)

    def leave(self, place: Place, point: int, carry: Carry, summary: Summary) -> None:
        after = self._layout.next(place)
        if after is not None and place == self._layout.wave(place)[-1]:
            self._send(after, (after, point), summary(carry))


class AllGather(_Waves):
    """Every summary of a wave to all that follow in it."""

    regroups = False

    def known(self, place: Place, point: int) -> bool:
        *earlier, start = self._awaited(place, point)
        return all(self._post.mail.here(key) for key in (*earlier, start))

    def offer(self, place: Place, point: int, summary: Summary) -> None:
        wave = self._layout.wave(place)
        for later in wave[wave.index(place) + 1 :]:
            self._send(later, (place, point, "summary", later), summary)

    def carry(self, place: Place, point: int, summary: Summary | None = None) -> Receiving:
        del summary
        wave = self._layout.wave(place)
        *earlier, start = self._awaited(place, point)
        carry = yield from self._post.receive(start)
        if place == wave[0]:
            for later in wave[1:]:
                self._send(later, (later, point), carry)
        for key in earlier:
            carry = (yield from self._summary(key, point))(carry)
        return carry

    def _awaited(self, place: Place, point: int) -> list[Any]:
        """The keys of the summaries before this place in its wave, and of the carry that enters the wave."""
        wave = self._layout.wave(place)
        earlier = [(before, point, "summary", place) for before in wave[: wave.index(place)]]
        return [*earlier, (place, point)]


class Tree(_Waves):
    """Prefixes of a wave's summaries in rounds: upwards pairs are composed, downwards what came before is handed on."""

    regroups = True

    def known(self, place: Place, point: int) -> bool:
        return place == self._layout.wave(place)[0] and self._post.mail.here((place, point))

    def offer(self, place: Place, point: int, summary: Summary) -> None:
        wave = self._layout.wave(place)
        position = wave.index(place)
        if position % 2 == 0 and position + 1 < len(wave):
            self._send(wave[position + 1], (place, point, "up", 1), summary)

    def carry(self, place: Place, point: int, summary: Summary | None = None) -> Receiving:
        wave = self._layout.wave(place)
        position, members = wave.index(place), len(wave)
        before = None
        if position > 0:
            before = yield from self._before(wave, position, point, summary)
        start = yield from self._post.receive((place, point))
        for child in (2 * position + 1, 2 * position + 2):
            if child < members:
                self._send(wave[child], (wave[child], point), start)
        return start if before is None else before(start)

    def _before(self, wave: Wave, position: int, point: int, own: Summary) -> Receiving:
        """All shards of the wave before this one, as one summary."""
        place, members = wave[position], len(wave)
        prefix, reach, first = own, 1, None
        while (position + 1) % (2 * reach) == 0:
            earlier = yield from self._summary((wave[position - reach], point, "up", reach), point)
            first = earlier if reach == 1 else first
            prefix, reach = earlier.then(prefix), 2 * reach
        if reach > 1 and position + reach < members:
            self._send(wave[position + reach], (place, point, "up", reach), prefix)
        if position + 1 > reach:  # else the prefix begins with the wave
            earlier = yield from self._summary((wave[position - reach], point, "down", reach), point)
            prefix = earlier.then(prefix)
        while reach > 1:
            reach //= 2
            if position + reach < members:
                self._send(wave[position + reach], (place, point, "down", reach), prefix)
        if position + 1 < members:
            self._send(wave[position + 1], (place, point, "before"), prefix)
        if position == 1:
            return first
        return (yield from self._summary((wave[position - 1], point, "before"), point))


EXCHANGES = {"chain": Chain, "tree": Tree, "all-gather": AllGather}

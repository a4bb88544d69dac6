"""The feed's protocol as a state machine, searched through: can an event come to stand where readers have passed already?

One stream and one event, appended by one writer in several attempts; resolvers that claim the shard one from another,
die and wake up at any step; messages that take effect at any later moment, twice, or never. No clock is trusted: a
writer may choose any position above the mark that it has seen, and a resolver may close up to any. Readers pass what
is published as resolved at once: that is the earliest, and so the worst.

`python -m tests.faults.feed_model` searches all variants, `--long` further.
"""

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True)
class Variant:
    """Which protections are on, and how far the search goes."""

    looks_at_mark: bool = True
    """The writer reads the mark after its pointer is acknowledged, and gives up a position at or below it."""
    pointer_first: bool = True
    """The writer's pointer is acknowledged before its batch is sent."""
    fence_first: bool = True
    """The fence of a batch was read before its pointer was written."""
    fences: bool = True
    """The resolver raises the fence of a stream in which an announced append does not stand."""
    fresh_after_fence: bool = True
    """A writer whose batch was fenced takes a new position, with a new pointer."""
    mark_before_reading: bool = True
    """The resolver reads the pointers after its mark is published."""
    marks_rise: bool = True
    """A mark is written on condition that it rises: a late copy of an earlier write does not set it back."""
    epochs: bool = True
    """Marks are written on condition of the epoch of their writer's claim."""
    positions: int = 3
    attempts: int = 2
    claims: int = 2
    """How many resolvers there are; each may claim the shard when another still works."""
    copies: int = 1
    """How often a mark may be written again when it was not answered."""


class Writer(NamedTuple):
    step: Literal["idle", "announced", "acknowledged", "cleared", "sent"] = "idle"
    pos: int = 0
    fence: int = 0
    mark: int = 0
    """The highest mark that it has seen."""
    attempts: int = 0


class Resolver(NamedTuple):
    """One claim of the shard; its epoch is the number of the claim."""

    step: Literal["free", "claiming", "owner", "read early", "closing", "closed", "settling", "resolving"] = "free"
    epoch: int = 0
    closing: int = 0
    resolved: int = 0
    upto: int = 0
    todo: tuple[int, ...] = ()
    copies: int = 0
    """How often it may send its last message again."""


class World(NamedTuple):
    """All there is. Nobody dies: whoever does nothing more is as good as dead, and a message that waits as good as lost."""

    writer: Writer
    resolvers: tuple[Resolver, ...]
    flying: frozenset[int] = frozenset()
    """Pointers on their way, by position."""
    landed: frozenset[int] = frozenset()
    batches: frozenset[tuple[int, int]] = frozenset()
    """On their way: position and fence."""
    marks: frozenset[tuple[str, int, int, int]] = frozenset()
    """On their way: which mark, its value, the epoch, the copy."""
    closing: int = 0
    resolved: int = 0
    epoch: int = 0
    fence: int = 0
    stands: int = 0
    """The position at which the event stands."""
    passed: int = 0
    """Up to where readers may have passed: the highest that was ever published as resolved."""
    skipped: bool = False


Step = tuple[str, World]


def search(variant: Variant) -> tuple[int, list[str] | None]:
    """Return how many worlds were reached, and the shortest way to one in which the event is skipped, if there is one."""
    start = World(Writer(attempts=variant.attempts), (Resolver(),) * variant.claims)
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    todo = deque([start])
    while todo:
        world = todo.popleft()
        if world.skipped:
            return len(came_from), _way(world, came_from)
        for label, made in steps(world, variant):
            following = _plain(made, variant)
            if following not in came_from:
                came_from[following] = (world, label)
                todo.append(following)
    return len(came_from), None


def _way(world: World, came_from: dict[World, tuple[World, str] | None]) -> list[str]:
    way = []
    while (before := came_from[world]) is not None:
        world, label = before
        way.append(label)
    return way[::-1]


def _plain(world: World, variant: Variant) -> World:
    """Leave out what can have no effect any more, so that fewer worlds differ."""
    if world.stands:
        # Its pointer and what readers pass is all that matters from now on.
        return world._replace(
            writer=Writer(),
            flying=world.flying & {world.stands},
            batches=frozenset(),
            resolvers=tuple(sorted(world.resolvers)),
        )
    batches = frozenset(batch for batch in world.batches if batch[1] == world.fence)
    marks = frozenset(message for message in world.marks if _takes_effect(message, world, variant))
    return world._replace(batches=batches, marks=marks, resolvers=tuple(sorted(world.resolvers)))


def _takes_effect(message: tuple[str, int, int, int], world: World, variant: Variant) -> bool:
    mark, value, epoch, _ = message
    if variant.epochs and epoch != world.epoch:
        return False
    return not variant.marks_rise or value > (world.closing if mark == "closing" else world.resolved)


def steps(world: World, variant: Variant) -> Iterator[Step]:
    """Yield everything that may happen next."""
    if not world.stands:
        for label, writer, changes in _WRITER[world.writer.step](world, world.writer, variant):
            yield f"writer {label}", world._replace(writer=writer, **changes)
    yield from _messages(world, variant)
    for number, one in enumerate(world.resolvers):
        if number and one == world.resolvers[number - 1]:
            continue  # the same in every way
        for label, new, changes in _RESOLVER[one.step](world, one, variant):
            resolvers = (*world.resolvers[:number], new, *world.resolvers[number + 1 :])
            yield f"resolver {new.epoch} {label}", world._replace(resolvers=resolvers, **changes)


# -- the writer --------------------------------------------------------------------------------------------------

Written = Iterator[tuple[str, Writer, dict[str, Any]]]


def _idle(world: World, writer: Writer, variant: Variant) -> Written:
    if writer.attempts:
        for pos in range(writer.mark + 1, variant.positions + 1):
            if pos not in world.flying | world.landed:
                new = writer._replace(step="announced", pos=pos, fence=world.fence, attempts=writer.attempts - 1)
                yield f"announces {pos}", new, {"flying": world.flying | {pos}}


def _announced(world: World, writer: Writer, variant: Variant) -> Written:
    if writer.pos in world.landed or not variant.pointer_first:
        step: Literal["acknowledged", "cleared"] = "acknowledged" if variant.looks_at_mark else "cleared"
        yield f"goes on with {writer.pos}", writer._replace(step=step), {}


def _acknowledged(world: World, writer: Writer, _: Variant) -> Written:
    mark = max(writer.mark, world.closing)
    if writer.pos <= world.closing:
        yield f"sees the mark {world.closing}, gives up", Writer(mark=mark, attempts=writer.attempts), {}
    else:
        yield f"sees the mark {world.closing}", writer._replace(step="cleared", mark=mark), {}


def _cleared(world: World, writer: Writer, variant: Variant) -> Written:
    fence = writer.fence if variant.fence_first else world.fence
    yield (
        f"sends {writer.pos}",
        writer._replace(step="sent", fence=fence),
        {"batches": world.batches | {(writer.pos, fence)}},
    )


def _sent(world: World, writer: Writer, variant: Variant) -> Written:
    if writer.fence == world.fence:
        return
    if variant.fresh_after_fence:
        yield "is fenced, begins again", Writer(mark=writer.mark, attempts=writer.attempts), {}
    else:
        batch = (writer.pos, world.fence)
        yield "sends it under the new fence", writer._replace(fence=world.fence), {"batches": world.batches | {batch}}


_WRITER = {
    "idle": _idle,
    "announced": _announced,
    "acknowledged": _acknowledged,
    "cleared": _cleared,
    "sent": _sent,
}


# -- messages ----------------------------------------------------------------------------------------------------


def _messages(world: World, variant: Variant) -> Iterator[Step]:
    for pos in world.flying:
        yield f"pointer {pos} lands", world._replace(flying=world.flying - {pos}, landed=world.landed | {pos})
    for pos, fence in world.batches:
        if fence == world.fence and not world.stands:
            # A reader that has passed does not come back.
            yield f"batch {pos} takes effect", world._replace(stands=pos, skipped=pos <= world.passed)
    for message in world.marks:
        mark, value, _, _ = message
        if not _takes_effect(message, world, variant):
            continue
        rest = world.marks - {message}
        if mark == "closing":
            yield f"closing is {value}", world._replace(marks=rest, closing=value)
            continue
        # Whoever passes now looks for the pointer: without it the event is not found.
        skipped = world.passed < world.stands <= value and world.stands not in world.landed
        passed = max(world.passed, value)
        yield f"resolved is {value}", world._replace(marks=rest, resolved=value, passed=passed, skipped=skipped)


# -- the resolver ------------------------------------------------------------------------------------------------

Resolved = Iterator[tuple[str, Resolver, dict[str, Any]]]


def _free(world: World, _: Resolver, __: Variant) -> Resolved:
    yield "reads the marks", Resolver("claiming", world.epoch, world.closing, world.resolved), {}


def _claiming(world: World, one: Resolver, _: Variant) -> Resolved:
    # What it read of the marks may be out of date by now: they only rise.
    if one.epoch == world.epoch:
        yield "claims", one._replace(step="owner", epoch=one.epoch + 1), {"epoch": one.epoch + 1}
    else:
        yield "comes too late", Resolver(), {}


def _owner(world: World, one: Resolver, variant: Variant) -> Resolved:
    for upto in range(max(one.closing, one.resolved + 1), variant.positions + 1):
        if upto == one.closing:
            yield f"takes up {upto}", one._replace(step="closed", upto=upto), {}
        elif variant.mark_before_reading:
            yield _sends(world, one._replace(step="closing", upto=upto), variant.copies)
        else:
            yield "reads first", one._replace(step="read early", upto=upto, todo=_todo(world, one, upto)), {}


def _read_early(world: World, one: Resolver, variant: Variant) -> Resolved:
    yield _sends(world, one._replace(step="closing"), variant.copies)


def _closing(world: World, one: Resolver, variant: Variant) -> Resolved:
    if world.closing >= one.upto and _is_owner(world, one, variant):
        step: Literal["closed", "settling"] = "closed" if variant.mark_before_reading else "settling"
        yield "knows that it is closed", one._replace(step=step, closing=one.upto, copies=0), {}
    if one.copies:
        yield _sends(world, one, one.copies - 1)


def _closed(world: World, one: Resolver, _: Variant) -> Resolved:
    todo = _todo(world, one, one.upto)
    yield f"reads the pointers {todo}", one._replace(step="settling", todo=todo), {}


def _settling(world: World, one: Resolver, variant: Variant) -> Resolved:
    if not one.todo:
        yield _sends(world, one._replace(step="resolving"), variant.copies)
        return
    settled = one._replace(todo=one.todo[1:])
    if world.stands or not variant.fences:
        yield f"settles {one.todo[0]}", settled, {}
    else:
        yield f"fences {one.todo[0]}", settled, {"fence": world.fence + 1}


def _resolving(world: World, one: Resolver, variant: Variant) -> Resolved:
    if world.resolved >= one.upto and _is_owner(world, one, variant):
        yield "knows that it is resolved", one._replace(step="owner", resolved=one.upto, upto=0, copies=0), {}
    if one.copies:
        yield _sends(world, one, one.copies - 1)


_RESOLVER = {
    "free": _free,
    "claiming": _claiming,
    "owner": _owner,
    "read early": _read_early,
    "closing": _closing,
    "closed": _closed,
    "settling": _settling,
    "resolving": _resolving,
}


def _todo(world: World, one: Resolver, upto: int) -> tuple[int, ...]:
    return tuple(sorted(pos for pos in world.landed if one.resolved < pos <= upto))


def _is_owner(world: World, one: Resolver, variant: Variant) -> bool:
    return one.epoch == world.epoch or not variant.epochs


def _sends(world: World, new: Resolver, copies: int) -> tuple[str, Resolver, dict[str, Any]]:
    mark = "closing" if new.step == "closing" else "resolved"
    message = (mark, new.upto, new.epoch, copies)
    return f"writes {mark} {new.upto}", new._replace(copies=copies), {"marks": world.marks | {message}}


# -- what is searched --------------------------------------------------------------------------------------------

OFF: dict[str, Variant] = {
    "looks_at_mark": Variant(looks_at_mark=False, claims=1, attempts=1),
    "pointer_first": Variant(pointer_first=False, claims=1, attempts=1),
    "fence_first": Variant(fence_first=False, claims=1, attempts=1),
    "fences": Variant(fences=False, claims=1, attempts=1),
    "fresh_after_fence": Variant(fresh_after_fence=False, claims=1, attempts=1),
    "mark_before_reading": Variant(mark_before_reading=False, claims=1, attempts=1),
    "marks_rise": Variant(marks_rise=False, claims=1, attempts=1, positions=2),
}
"""Each protection switched off alone, within bounds in which that loses the event."""
SAFE = {
    "one claim, two attempts": Variant(claims=1),
    "two claims, two attempts, no copies": Variant(positions=2, copies=0),
    "two claims without epochs": Variant(positions=2, copies=0, epochs=False, attempts=1),
}
"""All protections, searched to the end within seconds."""
SAFE_LONG = {
    "one claim, three attempts": Variant(claims=1, attempts=3),
    "two claims, one attempt": Variant(positions=2, attempts=1),
    "two claims, two attempts": Variant(positions=2),
    "two claims, two attempts, three positions": Variant(copies=0),
    "three claims, two attempts": Variant(claims=3, positions=2, copies=0),
}


def main() -> None:
    variants = OFF | SAFE | (SAFE_LONG if "--long" in sys.argv else {})
    for name, variant in variants.items():
        count, way = search(variant)
        sys.stdout.write(f"{name:50s} {count:9,d} worlds  {'safe' if way is None else 'LOST: ' + ' | '.join(way)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

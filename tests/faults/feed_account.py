"""What a feed's tables say at the moment: for whoever has to find out why an event was not delivered."""

from uuid import UUID

from cassorm import CassandraEventStore
from cassorm.events.position import shard_of
from tests.faults.feed_process import Told


async def heads_of(store: CassandraEventStore, streams: list[UUID]) -> dict[UUID, int]:
    """The versions of streams; 0 of those that do not exist."""
    heads = {}
    for stream in streams:
        head = await store.head(stream)
        heads[stream] = 0 if head is None else head.version
    return heads


async def account(store: CassandraEventStore, told: Told, heads: dict[UUID, int]) -> str:
    """Name each event that was not told, with its position, and the marks, checkpoints, workers and parked events."""
    shards = store.settings.shards
    lines = []
    concerned = set()
    for stream, head in heads.items():
        lacking = sorted(set(range(1, head + 1)) - set(told.versions[stream]))
        if lacking:
            concerned.add(shard_of(stream, shards))
            positions = {one.version: (one.position, str(one.append_id)) for one in await store.get_events(stream)}
            lines += [f"{stream} of shard {shard_of(stream, shards)} lacks {v} at {positions.get(v)}" for v in lacking]
    session, keyspace, names = store._session, store.keyspace, store.tables
    for table in (names.marks, names.checkpoints, names.workers, names.parked):
        found = await session.execute(f"SELECT * FROM {keyspace}.{table}")
        lines += [
            f"{table}: {row}"
            for row in found.dicts()
            if "shard" not in row or row["shard"] in concerned or table == names.parked
        ]
    lines.append(f"the node's clock: {await store.feed.node_clock()}")
    return "\n".join(lines)

"""At which consistency conditional writes are decided: at that of the store, wherever its workers are."""

from typing import NamedTuple

from cassorm.driver.consistency import Consistency
from cassorm.events.cassandra import CassandraEventStore


class Levels(NamedTuple):
    """How conditions are judged, and how what they let through is written."""

    serial: Consistency = Consistency.SERIAL
    plain: Consistency = Consistency.QUORUM


def levels_of(store: CassandraEventStore) -> Levels:
    """Those of a store: within one data centre where that is the home of all its writers.

    Raises:
        EventStoreError: the store was not initialised.
    """
    return Levels(store.settings.serial_consistency, store.settings.consistency)

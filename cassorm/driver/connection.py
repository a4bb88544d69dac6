"""The driver's connection, made to queue what the network cannot take at once instead of refusing it."""

from typing import Any

from cassandra.cluster import Cluster

# The driver reads and writes in pieces of 4 KiB; a page of rows or a large append has hundreds of them.
_PIECE = 65_536


def patient_connection() -> type[Any]:
    """The driver's own connection class with larger pieces and a queue in the place of `ConnectionBusy`.

    While a large message waits for the network, the driver refuses every other one on that connection, and each
    refusal leaks a stream id. What waits is bounded in any case: by the requests that may be in flight.
    """
    ordinary: Any = Cluster.connection_class
    members = {
        "in_buffer_size": _PIECE,
        "out_buffer_size": _PIECE,
        # What the driver looks at before it refuses; its event loop goes on queueing and sending as ever.
        "_socket_writable": property(lambda self: True, lambda self, writable: None),
    }
    return type(f"Patient{ordinary.__name__}", (ordinary,), members)

"""How many replicas must agree, by name."""

from enum import Enum


class Consistency(Enum):
    """How many replicas must answer a statement; each value is the number that the native protocol gives it."""

    ANY = 0
    ONE = 1
    TWO = 2
    THREE = 3
    QUORUM = 4
    ALL = 5
    LOCAL_QUORUM = 6
    EACH_QUORUM = 7
    SERIAL = 8
    LOCAL_SERIAL = 9
    LOCAL_ONE = 10

    @property
    def is_serial(self) -> bool:
        """Whether this is a level of the Paxos phase of a conditional statement."""
        return self in (Consistency.SERIAL, Consistency.LOCAL_SERIAL)

"""UUIDs at a third of the price of their constructor, where this Python has them as it does now."""

from collections.abc import Callable
from uuid import UUID, SafeUUID

_SAMPLE = bytes(range(16))


def _plain_maker() -> Callable[[int], UUID]:
    return lambda number: UUID(int=number)


def _maker() -> Callable[[int], UUID]:
    """Sets the slots that the constructor would set, without its choice between six ways to give a UUID."""
    new, unknown = object.__new__, SafeUUID.unknown
    try:
        set_int, set_safe = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__

        def make(number: int) -> UUID:
            made = new(UUID)
            set_int(made, number)
            set_safe(made, unknown)
            return made

        sample, plain = make(int.from_bytes(_SAMPLE, "big")), UUID(bytes=_SAMPLE)
        if (sample, hash(sample), repr(sample), sample.is_safe) == (plain, hash(plain), repr(plain), plain.is_safe):
            return make
    except (AttributeError, KeyError, TypeError):  # another layout of the class
        pass
    return _plain_maker()


uuid_of_int: Callable[[int], UUID] = _maker()
"""Return the UUID of a whole number of 128 bits; nothing is checked."""

_VARIANT = 0x8000 << 48
_KEPT = ~(0xC000 << 48 | 0xF000 << 64)


def uuid_of_digest(data: bytes, version: int) -> UUID:
    """Return a UUID of this version out of 16 random or hashed bytes, as `UUID(bytes=data, version=version)`."""
    return uuid_of_int(int.from_bytes(data, "big") & _KEPT | _VARIANT | version << 76)

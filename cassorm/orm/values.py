"""Python types for the CQL types that Python has no type of its own for."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from cassorm.orm.markers import CqlName

_pack_float = struct.Struct(">f").pack
_unpack_float = struct.Struct(">f").unpack


def round32(value: float) -> float:
    """The nearest number that 32 bits hold: what comes back from a `float` column.

    Raises:
        ValueError: it is too large for 32 bits.
    """
    try:
        rounded: float = _unpack_float(_pack_float(value))[0]
    except OverflowError:
        raise ValueError(f"{value!r} is too large for 32 bits") from None
    return rounded


# One object, so that a model can tell it from validators of its user: rows that come back are rounded already.
ROUND32 = AfterValidator(round32)

TinyInt = Annotated[int, CqlName("tinyint"), Field(ge=-(2**7), lt=2**7)]
"""A whole number of 8 bits."""
SmallInt = Annotated[int, CqlName("smallint"), Field(ge=-(2**15), lt=2**15)]
"""A whole number of 16 bits."""
Int = Annotated[int, CqlName("int"), Field(ge=-(2**31), lt=2**31)]
"""A whole number of 32 bits."""
BigInt = Annotated[int, CqlName("bigint"), Field(ge=-(2**63), lt=2**63)]
"""A whole number of 64 bits, checked when the model is made; a plain `int` is checked before it is sent."""
VarInt = Annotated[int, CqlName("varint")]
"""A whole number of any size."""
Float32 = Annotated[float, CqlName("float"), ROUND32]
"""A number of 32 bits: the model holds the rounded value from the start, so that the same comes back."""
Ascii = Annotated[str, CqlName("ascii"), Field(pattern=r"^[\x00-\x7f]*\z")]
"""Text of the characters of ASCII."""
TimeUUID = Annotated[UUID, CqlName("timeuuid")]
"""A UUID of version 1, ordered by its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A CQL `duration`: months, days and nanoseconds, which no calendar turns into each other.

    Raises:
        ValueError: the three have not one sign, or do not fit.
    """

    months: int = 0
    days: int = 0
    nanoseconds: int = 0

    def __post_init__(self) -> None:
        parts = (self.months, self.days, self.nanoseconds)
        if any(type(part) is not int for part in parts):
            raise ValueError("months, days and nanoseconds of a duration are whole numbers")
        if min(parts) < 0 < max(parts):
            raise ValueError("months, days and nanoseconds of a duration have one sign")
        if max(abs(self.months), abs(self.days)) >= 2**31 or abs(self.nanoseconds) >= 2**63:
            raise ValueError("a duration holds months and days of 32 bits and nanoseconds of 64")


VECTOR_PARTS = ("float", "double", "int", "bigint", "smallint", "tinyint")
"""The CQL types that the parts of a vector can have."""


@dataclass(frozen=True, slots=True)
class Vector:
    """In an `Annotated`: `Col[Annotated[list[float], Vector(3)]]` is a `vector<float, 3>`, `Vector(3, "int")` one of int.

    A model that has it checks the number of parts; 32-bit numbers are rounded from the start, as `Float32` is.
    """

    size: int
    part: str = "float"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What validates such a list: pydantic asks for it."""
        return no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, parts: list[Any]) -> list[Any]:
        if len(parts) != self.size:
            raise ValueError(f"{len(parts)} numbers, where the vector has {self.size}")
        if self.part != "float":
            return parts
        packed = struct.Struct(f">{self.size}f")
        try:
            return list(packed.unpack(packed.pack(*parts)))
        except OverflowError:
            raise ValueError("a number is too large for 32 bits") from None


def now() -> datetime:
    """The time in UTC, in whole milliseconds, as a `timestamp` column holds it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

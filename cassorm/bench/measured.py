"""The comparisons with the bare driver, by the name that the command knows them by."""

from typing import TYPE_CHECKING, Literal

from cassorm.bench.cases import Case, append_cases, read_cases, write_cases
from cassorm.bench.feed_read import feed_read_cases
from cassorm.bench.orm import orm_cases
from cassorm.bench.workload import Workload
from cassorm.orm.database import Database

if TYPE_CHECKING:
    from cassorm.bench.baseline import Bare

Measured = Literal["write", "append", "read", "orm", "feed read"]


async def cases(what: Measured, db: Database, bare: "Bare", workload: Workload, keyspace: str) -> list[Case]:
    """Create the tables that a benchmark needs, and return what it measures."""
    made = {
        "write": write_cases,
        "read": read_cases,
        "append": append_cases,
        "orm": orm_cases,
        "feed read": feed_read_cases,
    }
    return await made[what](db, bare, workload, keyspace)

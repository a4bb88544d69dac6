"""Notes over HTTP: a FastAPI application on models, with pages that clients cannot forge.

`CASSORM_PAGE_SECRET=$(openssl rand -hex 32) cassorm node run -- fastapi run examples/fastapi_app.py`, with
`fastapi[standard]` installed, serves it on a node of its own; http://127.0.0.1:8000/docs lets you try it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from cassorm import CK, PK, Col, Database, Model, Page, ck, col, connect, now
from cassorm.errors import QueryError, UnavailableError


class Note(Model, keyspace="notes"):
    """A note; those of one author stand together, the newest first."""

    author: PK[str]
    at: CK[datetime] = ck(order="desc", default_factory=now)
    id: CK[UUID] = ck(default_factory=uuid4)
    text: Col[str]
    tags: Col[set[str]] = col(default_factory=set)


class NewNote(BaseModel):
    """What a client sends."""

    text: str = Field(min_length=1, max_length=10_000)
    tags: set[str] = set()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One database for the whole process, on the loop that serves it."""
    async with connect() as db:
        await db.create_keyspace("notes")
        await db.create(Note)
        app.state.db = db
        yield


async def database(request: Request) -> AsyncIterator[Database]:
    """The database, which the queries of this request run on without being told."""
    db: Database = request.app.state.db
    async with db:
        yield db


Db = Annotated[Database, Depends(database)]
app = FastAPI(title="Notes", lifespan=lifespan)


@app.post("/authors/{author}/notes", status_code=201)
async def write(author: str, new: NewNote, db: Db) -> Note:
    """Write a note."""
    note = Note(author=author, text=new.text, tags=new.tags)
    await db.insert(note)
    return note


@app.get("/authors/{author}/notes/{at}/{id}", dependencies=[Depends(database)])
async def read(author: str, at: datetime, id: UUID) -> Note:  # noqa: A002 - the name in the path
    """Read one note."""
    note = await Note.get(author, at, id)
    if note is None:
        raise HTTPException(404, "no such note")
    return note


@app.get("/authors/{author}/notes", dependencies=[Depends(database)])
async def list_notes(
    author: str, size: Annotated[int, Query(ge=1, le=100)] = 20, token: str | None = None
) -> Page[Note]:
    """A page of an author's notes; `token` of one page asks for the next."""
    return await Note.where(Note.author == author).page(size, token)


@app.exception_handler(QueryError)
async def refused(request: Request, error: QueryError) -> JSONResponse:
    """Nothing was sent to the database: a forged token, say, or a value that fits no column."""
    return JSONResponse({"detail": str(error)}, 400)


@app.exception_handler(UnavailableError)
async def unavailable(request: Request, error: UnavailableError) -> JSONResponse:
    """The same request may be sent again."""
    return JSONResponse({"detail": "the database does not answer"}, 503, {"Retry-After": "1"})

"""The example of a web application, called over ASGI, on a node."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from examples.fastapi_app import app

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(cassandra_hosts: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CASSORM_HOSTS", ",".join(cassandra_hosts))
        environment.setenv("CASSORM_PAGE_SECRET", "s" * 32)
        async with app.router.lifespan_context(app):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notes") as opened:
                yield opened
            await app.state.db.ddl("DROP KEYSPACE notes")


async def test_a_note_is_written_and_read(client: httpx.AsyncClient) -> None:
    author = uuid4().hex
    written = await client.post(f"/authors/{author}/notes", json={"text": "milk", "tags": ["shop"]})
    assert written.status_code == 201
    note = written.json()
    assert (note["author"], note["text"], note["tags"]) == (author, "milk", ["shop"])
    read = await client.get(f"/authors/{author}/notes/{note['at']}/{note['id']}")
    assert (read.status_code, read.json()) == (200, note)
    missing = await client.get(f"/authors/{author}/notes/{note['at']}/{uuid4()}")
    assert (missing.status_code, missing.json()) == (404, {"detail": "no such note"})


async def test_pages_lead_from_one_to_the_next_and_end(client: httpx.AsyncClient) -> None:
    author = uuid4().hex
    for number in range(5):
        await client.post(f"/authors/{author}/notes", json={"text": str(number)})
    found: list[str] = []
    token: str | None = None
    pages = 0
    while pages == 0 or token is not None:
        parameters = {"size": "2"} | ({"token": token} if token else {})
        page = (await client.get(f"/authors/{author}/notes", params=parameters)).json()
        found += [note["text"] for note in page["items"]]
        token, pages = page["token"], pages + 1
    assert sorted(found) == ["0", "1", "2", "3", "4"]
    assert found == sorted(found, reverse=True)
    assert pages == 3


async def test_what_cannot_be_asked_is_told_to_the_client(client: httpx.AsyncClient) -> None:
    author, other = uuid4().hex, uuid4().hex
    for number in range(3):
        await client.post(f"/authors/{author}/notes", json={"text": str(number)})
    token = (await client.get(f"/authors/{author}/notes", params={"size": 1})).json()["token"]
    for asked in ({"token": "forged"}, {"token": token[:-2] + "xx"}):
        refused = await client.get(f"/authors/{author}/notes", params=asked)
        assert (refused.status_code, "no token of this query" in refused.json()["detail"]) == (400, True)
    # A token is good for its own query alone: it does not open another author's notes.
    assert (await client.get(f"/authors/{other}/notes", params={"token": token})).status_code == 400
    assert (await client.get(f"/authors/{author}/notes", params={"token": token})).status_code == 200
    assert (await client.post(f"/authors/{author}/notes", json={"text": ""})).status_code == 422
    naive = await client.get(f"/authors/{author}/notes/2026-01-01T00:00:00/{uuid4()}")
    assert (naive.status_code, "zone" in naive.json()["detail"]) == (400, True)


async def test_the_interface_is_described_with_the_fields_of_the_model(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["Note"]["properties"]) == {"author", "at", "id", "text", "tags"}
    assert schemas["Page_Note_"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Note"}

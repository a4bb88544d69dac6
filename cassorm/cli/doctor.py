"""`cassorm doctor`: what the live settings of a cluster mean for the data in it."""

from dataclasses import asdict
from typing import Annotated

import typer

from cassorm.cli.output import NEGATIVE, Json, columns, data, note, run
from cassorm.driver.connect import connect
from cassorm.driver.settings import Settings
from cassorm.events.examination import examine
from cassorm.events.health import Finding, Level

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    *,
    hosts: Annotated[
        str | None, typer.Option(help="Hosts to connect to, with commas; else CASSORM_HOSTS.", metavar="HOST:PORT")
    ] = None,
    keyspace: Annotated[
        str | None, typer.Option(help="The keyspace to look at; else CASSORM_KEYSPACE, else all of them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at replication, commit log, Paxos, timeouts, clocks and versions of a live cluster.

    Nothing is changed. Exit code 0: all is well; 1: there is a warning or an error; 3: the cluster cannot be reached.
    """
    settings = Settings(**({} if hosts is None else {"hosts": hosts}))
    found = run(_examine(settings, keyspace or settings.keyspace))
    rows = [(finding.level.value, finding.check, finding.where, finding.what) for finding in found]
    text = columns(("level", "check", "where", "finding"), rows)
    remedies = [f"{finding.check}, {finding.where}: {finding.remedy}" for finding in found if finding.remedy]
    data(
        [asdict(finding) for finding in found], "\n".join([text, *([""] * bool(remedies)), *remedies]), as_json=as_json
    )
    bad = sum(finding.level is not Level.OK for finding in found)
    note(f"{bad} of {len(found)} findings ask for something to be done" if bad else "all is well")
    if bad:
        raise typer.Exit(NEGATIVE)


async def _examine(settings: Settings, keyspace: str | None) -> list[Finding]:
    # Not into the keyspace: that it does not exist is a finding.
    async with connect(settings=settings.model_copy(update={"keyspace": None})) as session:
        return await examine(session, keyspace)

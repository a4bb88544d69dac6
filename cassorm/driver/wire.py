"""The driver's cluster and session, as the rest of this package sees them: send, prepare, agree, shut down.

What is not documented for users of the driver is used here alone: a subclass of its prepared statement, through which
the decoder gets our `Layout`, and its control connection, for the engine's options and for schema agreement.
"""

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import OptionsMessage, QueryMessage
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, BoundStatement, PreparedStatement, SimpleStatement

from cassorm.cql.statements import is_conditional, is_read
from cassorm.driver.bridge import Bridge, Request
from cassorm.driver.failures import Sent, translate
from cassorm.driver.known import KnownStatements, Outline, outline
from cassorm.driver.policies import IDEMPOTENT, NEVER
from cassorm.driver.prepared import WHOLE, Prepared
from cassorm.driver.result import Result
from cassorm.driver.rows import Layout, Unreadable, rows_handler
from cassorm.driver.values import cql_name, encoder, is_counter, user_types
from cassorm.errors import CassormError, ClusterError, QueryError

PROFILE = "cassorm"
"""The name of the driver's execution profile for what we send."""

_AGAIN_S = 0.2
_VERSION = "SELECT schema_version FROM system.local WHERE key = 'local'"

_BATCH_KINDS = {"logged": BatchType.LOGGED, "unlogged": BatchType.UNLOGGED, "counter": BatchType.COUNTER}


class _Statement(PreparedStatement):  # type: ignore[misc]
    """The driver's prepared statement, except that its row metadata is our `Layout`, for good.

    The driver replaces the metadata when it prepares a statement again (after a node's restart, for one); what came
    with the answer itself is newer in any case.
    """

    layout: Layout
    bound: Outline
    tables: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, prepared: Any, raw: Sequence[str], *, conditional: bool) -> "_Statement":
        made = cls.__new__(cls)
        made.__dict__.update({name: value for name, value in prepared.__dict__.items() if name != "result_metadata"})
        bound, returned = prepared.column_metadata or (), prepared.result_metadata or ()
        made.bound = outline(bound)
        made.tables = frozenset((column[0], column[1]) for column in (*bound, *returned))
        # A conditional statement answers in several shapes.
        made.layout = Layout(raw, outline(returned) if returned and not conditional else None)
        return made

    @property
    def result_metadata(self) -> Layout:
        return self.layout

    @result_metadata.setter
    def result_metadata(self, metadata: object) -> None:
        """Ignored: see the class."""

    @property
    def result_metadata_and_id(self) -> tuple[Layout, bytes | None]:
        # scylla-driver reads both through this one.
        return self.layout, self._result_metadata_and_id[1]


class Wire:
    """One driver session; everything here blocks, but for `send` and the making of statements."""

    def __init__(self, cluster: Any, session: Any) -> None:
        self._cluster = cluster
        self._session = session
        self._protocol_version: int = cluster.protocol_version
        self._known = KnownStatements()
        self._known.listen_to(cluster.control_connection, self._schema_version)
        session.client_protocol_handler = rows_handler(self._known)

    # -- never block ---------------------------------------------------------------------------------------------

    def bind(
        self,
        prepared: Prepared,
        params: Sequence[object],
        *,
        consistency: int,
        serial_consistency: int,
        idempotent: bool,
        page_size: int,
    ) -> Any:
        """A prepared statement with its parameters, as `send` takes it.

        Raises:
            QueryError: the parameters do not fit.
        """
        bound = BoundStatement(prepared.handle)
        bound.values = prepared.encode(params)
        bound.raw_values = ()
        bound.consistency_level = consistency
        bound.serial_consistency_level = serial_consistency
        bound.retry_policy = IDEMPOTENT if idempotent else NEVER
        bound.fetch_size = page_size
        return bound

    def simple(self, text: str, *, consistency: int, serial_consistency: int, idempotent: bool, page_size: int) -> Any:
        """A statement that is not prepared, as `send` takes it."""
        return SimpleStatement(
            text,
            consistency_level=consistency,
            serial_consistency_level=serial_consistency,
            retry_policy=IDEMPOTENT if idempotent else NEVER,
            fetch_size=page_size,
        )

    def batch(
        self,
        items: Sequence[tuple[Prepared, Sequence[object]]],
        *,
        kind: str,
        consistency: int,
        serial_consistency: int,
        idempotent: bool,
    ) -> Any:
        """A batch of prepared statements with their parameters, as `send` takes it.

        Raises:
            QueryError: the parameters of one of them do not fit.
        """
        batch = BatchStatement(
            _BATCH_KINDS[kind],
            consistency_level=consistency,
            serial_consistency_level=serial_consistency,
            retry_policy=IDEMPOTENT if idempotent else NEVER,
        )
        for prepared, params in items:
            bound = BoundStatement(prepared.handle)
            bound.values = prepared.encode(params)
            batch.add(bound)
        return batch

    def send(
        self, statement: Any, page_state: bytes | None, bridge: Bridge, request: Request, *, trace: bool = False
    ) -> Any:
        """Send, and return what `tell_trace` takes; the driver's threads call `bridge` with the outcome.

        The driver's own timeout is off: its timers cost a third of a request, and `bridge` keeps the deadline. That
        leaves a stream id taken until the answer comes, which `bridge` counts.
        """
        future = self._session.execute_async(
            statement, trace=trace, timeout=None, execution_profile=PROFILE, paging_state=page_state
        )
        future.add_callbacks(bridge.succeed, bridge.fail, callback_args=(request,), errback_args=(request,))
        return future

    @staticmethod
    def tell_trace(sent: Any, tell: Callable[[UUID], None]) -> None:
        """Tell under which id the server traced the statement; nothing is told of one that it did not."""
        for trace_id in sent.get_query_trace_ids() if sent._query_traces else ():
            tell(trace_id)

    # -- block: to be called from a thread -----------------------------------------------------------------------

    def prepare(self, text: str, raw: Sequence[str]) -> Prepared:
        """Prepare `text` on every node that is up.

        Raises:
            QueryError: `raw` names a column that the statement does not return, or the statement is conditional.
            ClusterError: the server refused it.
            UnavailableError: no node answered.
        """
        sent = Sent(text, self._session.default_timeout)
        conditional, reads = is_conditional(text), is_read(text)
        since = self._known.changes
        try:
            found = self._session.prepare(text)
        except Exception as error:
            raise translate(error, sent) from error
        returned = {column[2]: column[3] for column in found.result_metadata or ()}
        unknown = [name for name in raw if conditional or not returned or (name not in returned and name not in WHOLE)]
        if unknown:
            raise QueryError(
                f"cannot leave {', '.join(unknown)} raw: the statement returns {', '.join(returned) or 'no rows'}",
                where=sent.where,
                remedy="Name columns that a SELECT returns",
            )
        statement = _Statement.of(found, raw, conditional=conditional)
        self._cluster.add_prepared(statement.query_id, statement)
        bound = found.column_metadata or ()
        if bound:
            # The first look at a keyspace's replicas builds a map that takes long in a large cluster: not on the loop.
            self._cluster.metadata.get_replicas(bound[0].keyspace_name, b"")
        prepared = Prepared(
            text,
            conditional=conditional,
            reads=reads,
            counts=any(is_counter(column.type) for column in bound),
            columns=tuple(column.name for column in bound),
            types=tuple(cql_name(column.type) for column in bound),
            encoders=tuple(encoder(column.type, self._protocol_version) for column in bound),
            unset=UNSET_VALUE,
            raw=tuple(raw),
            handle=statement,
            returns=tuple((column[2], cql_name(column[3])) for column in found.result_metadata or ()),
            user_types=user_types([*(column.type for column in bound), *returned.values()]),
        )
        self._known.add(prepared, since)
        return prepared

    def agree(self, timeout_s: float) -> bool:
        """Whether all nodes that are up have come to the same schema within `timeout_s`."""
        # scylla-driver has it on the session, cassandra-driver on the control connection alone.
        asked = (
            self._session if hasattr(self._session, "wait_for_schema_agreement") else self._cluster.control_connection
        )
        deadline = monotonic() + timeout_s
        while (left_s := deadline - monotonic()) > 0:
            try:
                return bool(asked.wait_for_schema_agreement(wait_time=left_s))
            except (DriverException, ConnectionException, NoHostAvailable, OSError, AttributeError):
                # The connection was lost; until there is another the driver stumbles over having none.
                sleep(_AGAIN_S)
        return False

    def options(self) -> dict[str, list[str]]:
        """What the SUPPORTED frame of the control connection's node says."""
        connection = self._cluster.control_connection.get_connections()[0]
        answer = connection.wait_for_response(OptionsMessage(), timeout=self._session.default_timeout)
        return dict(getattr(answer, "options", None) or {})

    def _schema_version(self, connection: Any) -> object:
        try:
            answer = connection.wait_for_response(
                QueryMessage(_VERSION, ConsistencyLevel.ONE), timeout=self._session.default_timeout
            )
            return answer.parsed_rows[0][0]
        except Exception:  # whatever is wrong with that connection, the driver finds out by itself
            return None

    def shutdown(self) -> None:
        """Close every connection."""
        self._cluster.shutdown()

    @staticmethod
    def translate(error: Any, text: str, *, timeout_s: float, conditional: bool, counts: bool) -> CassormError:
        """Our error for what happened to a statement."""
        return translate(error, Sent(text, timeout_s, conditional, counts))

    @staticmethod
    def completed(answer: Any) -> Any:
        """The answer as a `Result` with its rows decoded, unless they are wanted later; a failure as it is."""
        if answer is None:
            return Result([])
        if type(answer) is Result:
            rows: Any = answer.rows
            try:
                answer.rows = rows if type(rows) is list or rows.later else rows.whole()
            except Exception as error:  # whatever it is, it belongs to this request
                return Unreadable(error)
        return answer

    @staticmethod
    def unreadable(error: Exception, text: str) -> CassormError:
        """Our error for rows that cannot be decoded."""
        return translate(Unreadable(error), Sent(text, 0))

    @staticmethod
    def unsent(error: Exception, text: str) -> CassormError:
        """Our error for a statement that the driver did not even send."""
        problem = ClusterError(f"the driver did not send it: {error!r}", where=Sent(text, 0).where, remedy="Report it")
        problem.__cause__ = error
        return problem

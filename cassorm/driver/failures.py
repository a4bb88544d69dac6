"""From the driver's exceptions to ours: what certainly did not happen, what may have, and what the server refused."""

from dataclasses import dataclass
from typing import Any

from cassandra import (
    AlreadyExists,
    AuthenticationFailed,
    InvalidRequest,
    OperationTimedOut,
    ReadFailure,
    ReadTimeout,
    Unauthorized,
    Unavailable,
    WriteFailure,
    WriteTimeout,
    WriteType,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage

from cassorm.driver.bridge import Abandoned, Expired
from cassorm.driver.prepared import OutdatedError, shortened
from cassorm.driver.rows import OtherShape, StatementChanged, Unreadable
from cassorm.errors import CassormError, ClusterError, OutcomeUnknownError, UnavailableError

# The errors of the native protocol by number. Below 0x1000: internal errors and a broken protocol; 0x1...: execution
# began and did not come to its end; 0x2...: refused before execution.
_SERVER_ERROR, _PROTOCOL_ERROR, _BAD_CREDENTIALS = 0x0000, 0x000A, 0x0100
_EXECUTION, _REFUSAL = 0x1000, 0x2000
_CAS_UNKNOWN = 0x1700
_FUNCTION_FAILED = 0x1400

_AGAIN = "Call again; if it persists, look at the nodes' logs and `nodetool status`"
_UNKNOWN = "Read back whether it took effect before sending it again"


@dataclass(frozen=True, slots=True)
class Sent:
    """The statement that failed: its text, how long it was waited for, and whether running it twice matters."""

    text: str
    timeout_s: float
    conditional: bool = False
    counts: bool = False

    @property
    def where(self) -> str:
        """The statement at a readable length."""
        return shortened(self.text)

    @property
    def once(self) -> bool:
        """Whether it must take effect at most once, so that an unanswered one is not to be repeated blindly."""
        return self.conditional or self.counts


def translate(error: BaseException | Unreadable, sent: Sent) -> CassormError:
    """Our error for what the driver reported of a statement."""
    ours = _translate(error, sent)
    ours.__cause__ = error.error if isinstance(error, Unreadable) else error
    return ours


def _translate(error: BaseException | Unreadable, sent: Sent) -> CassormError:
    if isinstance(error, StatementChanged) or (isinstance(error, Unreadable) and type(error.error) is OtherShape):
        return OutdatedError(
            "its table has changed since it was prepared, and keeps changing", where=sent.where, remedy=_AGAIN
        )
    if isinstance(error, NoHostAvailable):
        return _never_sent(error, sent)
    if isinstance(error, Expired | OperationTimedOut):
        return _unanswered(f"no answer within {sent.timeout_s:g} s", sent)
    if isinstance(error, Abandoned):
        return _unanswered("the session was closed before the answer came", sent)
    if isinstance(error, ConnectionException | OSError):
        return _unanswered(f"the connection was lost before the answer came ({error})", sent)
    if isinstance(error, Unreadable):
        return _unreadable(error.error, sent)
    if isinstance(error, WriteTimeout | WriteFailure) and error.write_type in (WriteType.CAS, WriteType.COUNTER):
        return _unknown(_reason(error), sent)
    if isinstance(error, WriteTimeout | ReadTimeout | WriteFailure | ReadFailure | Unavailable):
        return _unanswered(_reason(error), sent)
    if isinstance(error, InvalidRequest | Unauthorized | AlreadyExists):
        return _refused(error, sent)
    if isinstance(error, ErrorMessage):
        return _by_code(error, sent)
    # Anything else comes from the driver itself, before or after sending: nobody knows which.
    if sent.once:
        return _unknown(f"the driver failed: {error!r}", sent)
    return ClusterError(f"the driver failed: {error!r}", where=sent.where, remedy="Report it with this traceback")


def _by_code(error: Any, sent: Sent) -> CassormError:
    code = error.code
    if code == _CAS_UNKNOWN:
        return _unknown(_reason(error), sent)
    if code in (_PROTOCOL_ERROR, _BAD_CREDENTIALS, _FUNCTION_FAILED) or code >= _REFUSAL:
        return _refused(error, sent)
    if code == _SERVER_ERROR and not sent.once:
        return _refused(error, sent)
    return _unanswered(_reason(error), sent)


def _never_sent(error: Any, sent: Sent) -> CassormError:
    tried = error.errors if isinstance(error.errors, dict) else {}
    listed = "; ".join(f"{getattr(host, 'endpoint', host)}: {_reason(cause)}" for host, cause in tried.items())
    return UnavailableError(
        f"no node could take the statement ({listed or 'none is up'})", where=sent.where, remedy=_AGAIN
    )


def _unanswered(problem: str, sent: Sent) -> CassormError:
    if sent.once:
        return _unknown(problem, sent)
    return UnavailableError(problem, where=sent.where, remedy=_AGAIN)


def _unknown(problem: str, sent: Sent) -> CassormError:
    return OutcomeUnknownError(f"{problem}; it may have taken effect, or still may", where=sent.where, remedy=_UNKNOWN)


def _unreadable(error: Exception, sent: Sent) -> CassormError:
    problem = f"the answer could not be decoded: {error}"
    if sent.once:
        return _unknown(problem, sent)
    return ClusterError(problem, where=sent.where, remedy="Read that column raw: `prepare(..., raw=(column,))`")


def _refused(error: BaseException, sent: Sent) -> CassormError:
    return ClusterError(_reason(error), where=sent.where, remedy=_remedy(error))


def _remedy(error: BaseException) -> str:
    if isinstance(error, Unauthorized):
        return "Grant the permission, or connect as a user who has it"
    if isinstance(error, AlreadyExists):
        return "Use IF NOT EXISTS, or another name"
    return "Correct the statement or the schema"


def _reason(error: BaseException) -> str:
    """What the server said, in one line, without the driver's wrapping."""
    text = str(getattr(error, "message", None) or error) or type(error).__name__
    if isinstance(error, ErrorMessage):
        return f"{error.summary} (0x{error.code:04X}): {text}"
    return " ".join(text.split())


def is_authentication(error: BaseException) -> bool:
    """Whether the server did not accept who we are."""
    return isinstance(error, AuthenticationFailed) or getattr(error, "code", None) == _BAD_CREDENTIALS

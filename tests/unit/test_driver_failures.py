"""What each of the driver's exceptions means to a caller: certainly not done, perhaps done, refused."""

import pytest
from cassandra import (
    AlreadyExists,
    ConsistencyLevel,
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
from cassandra.connection import ConnectionException, ConnectionShutdown
from cassandra.policies import RetryPolicy
from cassandra.protocol import (
    ErrorMessage,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    ServerError,
    SyntaxException,
)

from cassorm.driver.bridge import Abandoned, Expired
from cassorm.driver.failures import Sent, translate
from cassorm.driver.policies import IDEMPOTENT, NEVER
from cassorm.driver.rows import Unreadable
from cassorm.errors import CassormError, ClusterError, OutcomeUnknownError, Retry, UnavailableError

PLAIN = Sent("SELECT a FROM t", 10)
CONDITIONAL = Sent("INSERT INTO t (a) VALUES (?) IF NOT EXISTS", 10, conditional=True)
COUNTER = Sent("UPDATE t SET c = c + ? WHERE a = ?", 10, counts=True)

QUORUM = ConsistencyLevel.LOCAL_QUORUM
UNANSWERED = [
    Expired(),
    OperationTimedOut(),
    Abandoned(),
    ConnectionShutdown("closed"),
    ConnectionException("lost"),
    ConnectionResetError(104, "reset"),
    WriteTimeout("t", write_type=WriteType.SIMPLE, consistency=QUORUM),
    WriteFailure("t", write_type=WriteType.SIMPLE, consistency=QUORUM),
    ReadTimeout("t", data_retrieved=False, consistency=QUORUM),
    ReadFailure("t", data_retrieved=False, consistency=QUORUM),
    Unavailable("t", consistency=QUORUM, required_replicas=2, alive_replicas=1),
    OverloadedErrorMessage(0x1001, "busy", None),
    IsBootstrappingErrorMessage(0x1002, "joining", None),
]
REFUSED = [
    InvalidRequest("unconfigured table"),
    Unauthorized("no permission"),
    AlreadyExists("ks", "t"),
    SyntaxException(0x2000, "no viable alternative", None),
    ErrorMessage(0x2300, "bad option", None),
]


def _name(error: object) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", UNANSWERED, ids=_name)
def test_a_plain_statement_without_an_answer_may_be_called_again(error: Exception) -> None:
    ours = translate(error, PLAIN)
    assert type(ours) is UnavailableError
    assert ours.retry is Retry.SAFE
    assert ours.__cause__ is error
    assert PLAIN.text in str(ours)
    assert ours.remedy is not None


@pytest.mark.parametrize("error", UNANSWERED, ids=_name)
@pytest.mark.parametrize("sent", [CONDITIONAL, COUNTER], ids=["conditional", "counter"])
def test_what_must_happen_once_is_of_unknown_outcome_without_an_answer(sent: Sent, error: Exception) -> None:
    ours = translate(error, sent)
    assert type(ours) is OutcomeUnknownError
    assert ours.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        WriteTimeout("t", write_type=WriteType.CAS, consistency=QUORUM),
        WriteFailure("t", write_type=WriteType.CAS, consistency=QUORUM),
        WriteTimeout("t", write_type=WriteType.COUNTER, consistency=QUORUM),
        ErrorMessage(0x1700, "CAS operation result is unknown", None),
    ],
    ids=["timeout", "failure", "counter", "0x1700"],
)
@pytest.mark.parametrize("sent", [PLAIN, CONDITIONAL], ids=["plain", "conditional"])
def test_what_the_server_calls_a_cas_or_a_counter_is_one_whatever_we_thought(sent: Sent, error: Exception) -> None:
    assert type(translate(error, sent)) is OutcomeUnknownError


@pytest.mark.parametrize("error", REFUSED, ids=_name)
@pytest.mark.parametrize("sent", [PLAIN, CONDITIONAL, COUNTER], ids=["plain", "conditional", "counter"])
def test_a_refusal_is_one_for_every_statement_and_keeps_the_servers_words(sent: Sent, error: Exception) -> None:
    ours = translate(error, sent)
    assert type(ours) is ClusterError
    assert ours.retry is Retry.NEVER
    assert str(getattr(error, "message", error)) in str(ours)


@pytest.mark.parametrize("sent", [PLAIN, CONDITIONAL, COUNTER], ids=["plain", "conditional", "counter"])
def test_a_statement_that_no_node_took_was_not_sent(sent: Sent) -> None:
    ours = translate(NoHostAvailable("none", {"10.0.0.1": ConnectionException("down")}), sent)
    assert type(ours) is UnavailableError
    assert "10.0.0.1: down" in str(ours)


def test_an_internal_error_of_the_server_leaves_a_conditional_statement_unknown() -> None:
    error = ServerError(0x0000, "java.lang.NullPointerException", None)
    assert type(translate(error, CONDITIONAL)) is OutcomeUnknownError
    assert type(translate(error, PLAIN)) is ClusterError


def test_an_answer_that_cannot_be_read_may_be_the_one_of_a_success() -> None:
    broken = Unreadable(ValueError("bad bytes"))
    assert type(translate(broken, CONDITIONAL)) is OutcomeUnknownError
    ours = translate(broken, PLAIN)
    assert type(ours) is ClusterError
    assert ours.__cause__ is broken.error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError(1)], ids=_name)
def test_a_failure_inside_the_driver_is_never_taken_for_a_failed_lwt(error: Exception) -> None:
    assert type(translate(error, CONDITIONAL)) is OutcomeUnknownError
    assert type(translate(error, PLAIN)) is ClusterError


def test_a_long_statement_is_shortened_in_the_error() -> None:
    ours: CassormError = translate(Expired(), Sent("SELECT " + "column, " * 100, 10))
    assert len(str(ours)) < 400


INFO = {"required_responses": 2, "received_responses": 1, "data_retrieved": False}


def test_lwts_and_plain_writes_are_never_sent_again() -> None:
    rethrow = (RetryPolicy.RETHROW, None)
    for retry_num in (0, 1):
        assert NEVER.on_read_timeout(None, QUORUM, **INFO, retry_num=retry_num) == rethrow
        assert NEVER.on_write_timeout(None, QUORUM, write_type=WriteType.CAS, retry_num=retry_num) == rethrow
        assert NEVER.on_write_timeout(None, QUORUM, write_type=WriteType.BATCH_LOG, retry_num=retry_num) == rethrow
        assert NEVER.on_unavailable(None, QUORUM, retry_num=retry_num) == rethrow
        assert NEVER.on_request_error(None, QUORUM, error=ConnectionShutdown(""), retry_num=retry_num) == rethrow


def test_reads_and_idempotent_writes_move_to_another_node_a_bounded_number_of_times() -> None:
    again = RetryPolicy.RETRY_NEXT_HOST
    assert IDEMPOTENT.on_read_timeout(None, QUORUM, **INFO, retry_num=0) == (again, QUORUM)
    enough = INFO | {"received_responses": 2}
    assert IDEMPOTENT.on_read_timeout(None, QUORUM, **enough, retry_num=0) == (RetryPolicy.RETRY, QUORUM)
    assert IDEMPOTENT.on_write_timeout(None, QUORUM, write_type=WriteType.SIMPLE, retry_num=0)[0] == again
    assert IDEMPOTENT.on_unavailable(None, QUORUM, retry_num=0)[0] == again
    assert IDEMPOTENT.on_request_error(None, QUORUM, ConnectionShutdown(""), 0)[0] == again
    for policy_answer in (
        IDEMPOTENT.on_read_timeout(None, QUORUM, **INFO, retry_num=1),
        IDEMPOTENT.on_write_timeout(None, QUORUM, write_type=WriteType.SIMPLE, retry_num=1),
        IDEMPOTENT.on_unavailable(None, QUORUM, retry_num=1),
        IDEMPOTENT.on_request_error(None, QUORUM, ConnectionShutdown(""), 2),
    ):
        assert policy_answer == (RetryPolicy.RETHROW, None)

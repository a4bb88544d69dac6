import socket
from contextlib import closing
from pathlib import Path

import pytest

from cassorm.devnode import ports
from cassorm.devnode.ports import addresses, is_free, require_address, reserve
from cassorm.errors import DevNodeError


def test_two_reservations_share_no_port(tmp_path: Path) -> None:
    taken = [reserve(addresses(1), folder=tmp_path) for _ in range(20)]
    numbers = [port for reservation in taken for port in (reservation.cql, reservation.storage)]
    assert len(set(numbers)) == 40
    for reservation in taken:
        reservation.release()


def test_a_released_port_is_free_again_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST", ports.FIRST + 2)
    first = reserve(addresses(1), folder=tmp_path)
    with pytest.raises(DevNodeError, match="no two free ports"):
        reserve(addresses(1), folder=tmp_path)
    first.release()
    assert list(tmp_path.iterdir()) == []
    reserve(addresses(1), folder=tmp_path).release()


def test_a_port_that_somebody_listens_on_at_any_address_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.3", 0))
        other.listen()
        port = other.getsockname()[1]
        assert is_free("127.0.0.1", port)
        assert not is_free("127.0.0.3", port)
        monkeypatch.setattr(ports, "FIRST", port)
        monkeypatch.setattr(ports, "LAST", port + 40)
        reservation = reserve(addresses(3), folder=tmp_path)
        assert port not in (reservation.cql, reservation.storage)
        reservation.release()


def test_ports_of_others_are_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST", ports.FIRST + 4)
    avoid = {ports.FIRST, ports.FIRST + 1}
    reservation = reserve(addresses(1), avoid, tmp_path)
    assert {reservation.cql, reservation.storage} == {ports.FIRST + 2, ports.FIRST + 3}
    reservation.release()


def test_an_address_that_this_machine_lacks_is_refused_by_name() -> None:
    with pytest.raises(DevNodeError, match="192\\.0\\.2\\.1") as caught:
        require_address("192.0.2.1")
    assert caught.value.remedy

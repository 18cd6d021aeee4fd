"""No test reaches further than this machine, and one that tries is failed whatever it makes of the error."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import loopback as only_loopback
import pytest

TESTS = Path(__file__).parent
ELSEWHERE = "192.0.2.1"  # of the documentation's own network: nobody has it


@pytest.mark.parametrize("host", [ELSEWHERE, "2001:db8::1", "bucket.s3.amazonaws.com", b"169.254.169.254"])
def test_another_address_is_refused_and_remembered(host):
    with pytest.raises(OSError, match="no further than loopback"):
        socket.create_connection((host, 80), timeout=5)
    name = host.decode() if isinstance(host, bytes) else host
    assert only_loopback.reached() == [f"getaddrinfo {name}"]


def test_nor_is_it_connected_to_without_a_look_up():
    with socket.socket() as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        for ask in (one.connect, one.connect_ex, lambda where: other.sendto(b"x", where)):
            with pytest.raises(OSError, match=f"asked for {ELSEWHERE}"):
                ask((ELSEWHERE, 80))
    assert only_loopback.reached() == [f"connect {ELSEWHERE}"] * 2 + [f"sendto {ELSEWHERE}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_this_machine_is_reached(host):
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.suppress(ConnectionRefusedError):
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
    left, right = socket.socketpair()
    left.close()
    right.close()
    assert only_loopback.reached() == []


TAKER = """
import socket
def test_it():
    try:
        socket.getaddrinfo("{host}", 9)  # of a number: nobody is asked
    except OSError:
        pass
"""


def test_a_test_that_takes_no_notice_fails(tmp_path):
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TAKER.format(host=ELSEWHERE))
    gone = {"FOLDLOG_TEST_SESSION", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env={**{name: value for name, value in os.environ.items() if name not in gone}, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
    )
    assert f"the test reached for getaddrinfo {ELSEWHERE}" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1


def test_a_server_for_the_tests_may_be_elsewhere(monkeypatch):
    monkeypatch.setattr(only_loopback, "_allowed", {ELSEWHERE})
    socket.getaddrinfo(ELSEWHERE, 9)
    assert only_loopback.reached() == []


def test_an_account_of_the_developers_is_not_taken():
    environ = {"AWS_PROFILE": "work", "AZURE_STORAGE_CONNECTION_STRING": "x", "GOOGLE_APPLICATION_CREDENTIALS": "x"}
    only_loopback.alone(environ)
    assert not {"AWS_PROFILE", "AZURE_STORAGE_CONNECTION_STRING", "GOOGLE_APPLICATION_CREDENTIALS"} & environ.keys()
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"

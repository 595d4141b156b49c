"""Clients that are slow, send too much, or say two things: on the bare socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest
import requests

from autoseg.serving.server import Limits, Server

QUICK = Limits(
    connections=300, head_s=0.6, body_s=0.6, body_rate=1e4, write_s=1.0, write_rate=8e6,
    linger_s=0.3, grace_s=2.0,
)  # fmt: skip
LARGE = 32 << 20  # bytes: more than the system takes before a client does
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def echo(scope, receive, send):
    """Answer with the length of the body; "/slow" takes a second."""
    size, more = 0, scope["method"] == "POST"
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    if scope["path"] == "/wrong":
        raise RuntimeError("a secret")
    body = bytes(LARGE) if scope["path"] == "/large" else str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def running(app, limits):
    listener = socket.create_server(("127.0.0.1", 0), backlog=500)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(Server(app, limits).run(listener, stop),)
    )
    thread.start()
    end = lambda: loop.call_soon_threadsafe(stop.set)  # noqa: E731
    try:
        yield listener.getsockname()[1], end
    finally:
        end()
        thread.join(10)
        assert not thread.is_alive()
        loop.close()


@pytest.fixture(scope="module")
def port():
    with running(echo, QUICK) as (port, _):
        yield port


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def rest(client):
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            data += piece
    return data


def exchange(port, *pieces, pause=0.0):
    """Send `pieces`, return (status, body) of the first answer; status 0: none."""
    with connect(port) as client:
        for piece in pieces:
            with contextlib.suppress(ConnectionError):
                client.sendall(piece)
            time.sleep(pause)
        data = rest(client)
    if not data:
        return 0, b""
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


CLOSE = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def test_a_body_is_counted_as_announced_and_in_chunks(port):
    assert exchange(port, CLOSE + b"Content-Length: 5\r\n\r\nhello") == (200, b"5")
    chunked = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"
    assert exchange(port, CLOSE + chunked) == (200, b"8")
    assert exchange(port, CLOSE + b"Content-Length: 5\r\n\r\n", b"he", b"llo", pause=0.1)[1] == b"5"


def test_a_connection_serves_several_requests_and_pipelined_ones(port):
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(port) as client:
        client.sendall(get + get)
        data = rest(client)
    assert data.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"", 411),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: ten\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: gzip\r\n", 501),
        (b"Bad Header\r\n", 400),
    ],
)
def test_wrong_lengths_are_refused(port, lines, status):
    assert exchange(port, CLOSE + lines + b"\r\n")[0] == status


def test_who_asks_whether_to_send_a_body_is_told_to(port):
    with connect(port) as client:
        client.sendall(CLOSE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(99).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"hello")
        assert rest(client).endswith(b"\r\n\r\n5")


def test_what_has_no_body_needs_no_length(port):
    for method in (b"GET", b"DELETE", b"OPTIONS", b"BREW"):
        assert exchange(port, method + CLOSE.removeprefix(b"POST") + b"\r\n") == (200, b"0")


def test_a_refused_client_gets_the_number_that_is_in_the_log(port, caplog):
    caplog.set_level("INFO")
    body = exchange(port, CLOSE + b"Content-Length: ten\r\n\r\n")[1]
    said = json.loads(body)
    assert said["error"] == "this is not a valid HTTP request"
    assert f"{said['request_id']} refused: 400, {said['error']}" in caplog.messages


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\0" * 99]
)
def test_what_is_not_http_is_refused(port, start):
    assert exchange(port, start + b"\r\n\r\n")[0] in (0, 400)


def test_huge_heads_are_refused(port):
    assert exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000)[0] == 431
    assert exchange(port, b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n")[0] == 431


def test_slow_heads_and_bodies_get_408(port):
    status, body = exchange(port, b"GET / HT")
    assert (status, json.loads(body)["error"]) == (408, "the head of the request took too long")
    slow = exchange(port, CLOSE + b"Content-Length: 50\r\n\r\n", *[b"x"] * 20, pause=0.1)
    assert slow[0] == 408
    assert exchange(port)[0] == 0  # who says nothing is told nothing


@pytest.mark.slow
def test_a_large_answer_waits_for_who_takes_it_and_not_for_who_does_not(port):
    with connect(port) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while piece := client.recv(1 << 20):  # 2.2 s at least, more than write_s
            received += len(piece)
            time.sleep(len(piece) / 15e6)
        assert received > LARGE
    with connect(port) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(3)
        assert len(rest(client)) < LARGE


def test_mistakes_are_not_told_to_clients(port):
    status, body = exchange(port, b"GET /wrong HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, json.loads(body)["error"]) == (500, "internal error")


def test_among_200_slow_clients_an_honest_one_is_served(port):
    clients = [connect(port) for _ in range(200)]
    try:
        for number, client in enumerate(clients):
            client.sendall(CLOSE + b"Content-Length: 9\r\n\r\n" if number % 2 else b"GET / H")
        begin = time.monotonic()
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200
        assert time.monotonic() - begin < 0.5  # before any of them has been let go
    finally:
        for client in clients:
            client.close()


def test_beyond_the_limit_the_one_that_waits_longest_is_let_go():
    limits = Limits(connections=3, head_s=30)
    with running(echo, limits) as (port, _):
        clients = [connect(port) for _ in range(3)]
        time.sleep(0.2)
        assert exchange(port, b"GET / HTTP/1.0\r\n\r\n") == (200, b"0")
        assert rest(clients[0]) == b""
        clients[2].sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert rest(clients[2]).startswith(b"HTTP/1.1 200")
        for client in clients:
            client.close()


def test_what_runs_is_finished_at_the_end():
    with running(echo, QUICK) as (port, end), connect(port) as client, connect(port) as idle:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        end()
        assert rest(idle) == b""
        with connect(port) as late:
            late.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            for data in (rest(late), rest(client)):
                assert data.startswith(b"HTTP/1.1 200")
                assert b"connection: close" in data.lower()
        time.sleep(2 * QUICK.linger_s)
        with pytest.raises(ConnectionRefusedError):
            connect(port)

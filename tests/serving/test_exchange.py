"""Clients that go, and a service that stops, while the body of a request still comes."""

from __future__ import annotations

import json
import socket
import struct
import time

from tests.serving.test_connection import CLOSE, QUICK, connect, rest, running

RESET = struct.pack("ii", 1, 0)  # closing a socket then says so at once


def test_a_connection_that_is_reset_is_a_client_that_has_gone():
    heard = []

    async def hearing(scope, receive, send):
        while True:
            heard.append((await receive())["type"])
            if heard[-1] == "http.disconnect":
                return await send({"type": "http.response.start", "status": 400, "headers": []})

    with running(hearing, QUICK) as (port, _):
        with connect(port) as client:
            client.sendall(CLOSE + b"Content-Length: 50\r\n\r\nx")
            time.sleep(0.2)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        time.sleep(0.2)
    assert heard == ["http.request", "http.disconnect"]


def test_who_still_sends_when_the_service_stops_is_told():
    async def reading(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    with running(reading, QUICK) as (port, end), connect(port) as client:
        client.sendall(CLOSE + b"Content-Length: 50\r\n\r\nx")
        time.sleep(0.2)
        end()
        head, _, body = rest(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 30" in head
    assert json.loads(body)["error"] == "the service is stopping"

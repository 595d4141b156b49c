"""Many requests, and many bad clients, at a service that is a process of its own."""

from __future__ import annotations

import base64
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.serving.flat import picture, served

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GROWTH_MB = 15  # of 500 requests: what an allocator may take and keep


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def ask(service, number):
    body = {"img": base64.b64encode(picture(60, 50, number % 7)).decode()}
    answer = requests.post(f"{service.url}/predict", json=body, timeout=60)
    assert answer.status_code == 200
    return answer.json()["img"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_flat_over_500_requests(flat_bundle):
    with served(flat_bundle) as service, ThreadPoolExecutor(4) as clients:
        first = list(clients.map(lambda n: ask(service, n), range(70)))
        before = memory_mb(service.process.pid)
        masks = list(clients.map(lambda n: ask(service, n), range(500)))
        after = memory_mb(service.process.pid)
        assert all(mask == first[n % 7] for n, mask in enumerate(masks))
        print(f"{before:.0f} MB before, {after:.0f} MB after")
        assert after - before < GROWTH_MB
        assert service.stop() == 0


@pytest.mark.slow
def test_200_slow_clients_do_not_keep_an_honest_one_waiting(flat_bundle):
    with served(flat_bundle) as service:
        ask(service, 0)
        begin = time.monotonic()
        ask(service, 1)
        alone_s = time.monotonic() - begin
        slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(200)]
        for number, client in enumerate(slow):
            client.sendall(HEAD + b"Content-Length: 5000\r\n\r\n{" if number % 2 else HEAD)
        begin = time.monotonic()
        ask(service, 2)
        assert time.monotonic() - begin < 3 * alone_s + 1
        for client in slow:
            client.settimeout(40)
            answer = client.recv(100)
            assert answer.startswith(b"HTTP/1.1 408")
            client.close()
        assert service.stop() == 0

"""Starting and stopping: what is refused before anything is loaded, tokens, names, signals."""

from __future__ import annotations

import base64
import contextlib
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from autoseg.cli import main
from autoseg.errors import ResourceError
from autoseg.serving.model import Model, load_model
from autoseg.serving.serve import serve
from autoseg.serving.worker import EXHAUSTED
from autoseg.workspace import Workspace
from tests.serving.flat import free_port, picture, served

TOKEN = "0123456789abcdef"


def last_line(capsys):
    return capsys.readouterr().err.rstrip("\n").split("\n")[-1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "everybody who reaches 0.0.0.0 could use the service -> --tok"),
        (["--host", "::"], 2, "everybody who reaches :: could use the service -> --token-file"),
        (["--token-file", "gone"], 2, "gone: cannot be read, expected a token"),
        (["--token-file", "x", "--no-token"], 2, "--token-file and --no-token, expected one of"),
        (["--port", "99999"], 2, "--port 99999, expected 0 to 65535 (0: any that is free)"),
        (["--host", "no.such.name.invalid", "--no-token"], 2, "no such address: no.such.name"),
        (["--deadline", "soon"], 2, "--deadline soon, expected time for an image, such as"),
        (["--queue", "-1"], 2, "--queue -1, expected 0 or more"),
        (["--port", "0", "--set", "mirror=up"], 2, "mirror up, expected all, half, off"),
        (["--port", "0", "--set", "rules=x:y:1"], 2, "did you mean|known names|expected"),
        (["--port", "0", "-f", "7"], 2, "7"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused(words, code, message, flat_bundle, capsys):
    assert main(["serve", "-m", str(flat_bundle), "--device", "cpu", *words]) == code
    line = last_line(capsys)
    assert any(part in line for part in message.split("|")), line


def test_a_model_that_is_missing_or_changed_never_listens(flat_bundle, tmp_path, capsys):
    assert main(["serve", "-m", str(tmp_path / "gone"), "--port", "0"]) in (2, 7)
    broken = tmp_path / "broken"
    for file in [f for f in flat_bundle.rglob("*") if f.is_file()]:
        copy = broken / file.relative_to(flat_bundle)
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            data[-1] ^= 1
        copy.write_bytes(data)
    assert main(["serve", "-m", str(broken), "--port", "0", "--device", "cpu"]) == 7


def test_a_port_in_use_exits_4(flat_bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "-m", str(flat_bundle), "--port", str(port)]) == 4
    assert last_line(capsys) == f"autoseg: error: port {port} in use -> choose another --port"


def test_three_images_in_a_row_without_memory_end_the_service_with_4(
    flat_bundle, tmp_path, monkeypatch
):
    def no_memory(*_):
        raise ResourceError("out of memory")

    monkeypatch.setattr(Model, "segment", no_memory)
    model = load_model(Workspace(tmp_path), bundles=[flat_bundle], device="cpu")
    body = {"img": base64.b64encode(picture()).decode()}
    statuses, port, until = [], free_port(), time.monotonic() + 30

    def ask():
        while len(statuses) < EXHAUSTED and time.monotonic() < until:
            try:
                answer = requests.post(f"http://127.0.0.1:{port}/predict", json=body, timeout=9)
                statuses.append(answer.status_code)
            except requests.ConnectionError:  # it does not listen yet
                time.sleep(0.1)

    client = threading.Thread(target=ask)
    client.start()
    with pytest.raises(ResourceError, match="out of memory, one image after the other") as caught:
        serve(lambda: model, port=port)
    client.join()
    assert caught.value.exit_code == 4
    assert statuses == [503] * EXHAUSTED


def test_a_short_token_is_refused(flat_bundle, tmp_path, capsys):
    (tmp_path / "token").write_text("secret\n")
    words = ["serve", "-m", str(flat_bundle), "--token-file", str(tmp_path / "token")]
    assert main(words) == 2
    line = last_line(capsys)
    assert "holds no token, expected at least 16 letters" in line
    assert "secret" not in line


def test_only_who_has_the_token_is_served_and_the_end_is_calm(flat_bundle, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    with served(flat_bundle, "--token-file", str(tmp_path / "token")) as service:
        for value in (None, "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \u00e9"):
            headers = {} if value is None else {"Authorization": value.encode("latin-1")}
            answer = requests.get(f"{service.url}/models", headers=headers, timeout=9)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"] == "a token is needed"
        body = {"img": base64.b64encode(picture()).decode()}
        assert requests.post(f"{service.url}/predict", json=body, timeout=9).status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.post(f"{service.url}/predict", json=body, headers=right, timeout=30)
        assert answer.status_code == 200
        for path in ("/", "/health"):
            assert requests.get(service.url + path, timeout=9).status_code == 200
        assert service.stop() == 0
        text = service.log.read_text()
    assert TOKEN not in text
    assert "Traceback" not in text


def test_other_host_names_are_not_answered(service):
    for name, status in (
        ("evil.example", 403), ("localhost.evil.example:80", 403), ("LOCALHOST", 200),
        ("127.0.0.1:1", 200), ("[::1]:9051", 200),
    ):  # fmt: skip
        answer = requests.get(f"{service.url}/health", headers={"Host": name}, timeout=9)
        assert answer.status_code == status, name


def test_nothing_of_a_request_can_forge_the_log(service):
    requests.get(f"{service.url}/forged%0Ab%1B[31m{'c' * 999}", timeout=9)
    until = time.monotonic() + 5
    while "GET /forged" not in service.log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    line = next(line for line in service.log.read_text().splitlines() if "GET /forged" in line)
    assert "\\nb\\x1b[31mccc" in line
    assert len(line) < 250


def test_a_client_that_leaves_takes_its_image_with_it(service):
    png = picture(900, 900)
    head = "POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(f"{head}Content-Length: {len(png)}\r\n\r\n".encode() + png)
        time.sleep(0.5)
    body = {"img": base64.b64encode(picture(8, 8)).decode()}
    assert requests.post(f"{service.url}/predict", json=body, timeout=30).status_code == 200
    assert requests.get(f"{service.url}/health", timeout=9).json()["waiting"] == 0
    assert "POST /segment 400" in service.log.read_text()  # not 200: nobody took it
    assert "Traceback" not in service.log.read_text()


SLOW = "import time\nfrom autoseg.serving.model import Model\n"
ONE_TILE = f"{SLOW}Model.segment = lambda *_: time.sleep(60)"
TILES = (
    f"{SLOW}Model.segment = lambda s, i, o, look, b: [(look(), time.sleep(0.1)) for _ in [0] * 600]"
)


@contextlib.contextmanager
def busy(service):
    """Let a client wait for an image that takes a minute."""

    def ask():
        with contextlib.suppress(requests.ConnectionError):
            kind = {"Content-Type": "image/png"}
            requests.post(f"{service.url}/segment", picture(), headers=kind, timeout=60)

    client = threading.Thread(target=ask)
    client.start()
    try:
        time.sleep(1)
        yield
    finally:
        client.join()


@pytest.mark.slow
def test_while_it_stops_it_says_so_and_what_takes_longer_is_ended(flat_bundle, tmp_path):
    with served(flat_bundle, before=TILES, TMPDIR=str(tmp_path)) as service:
        with busy(service):
            begin = time.monotonic()
            service.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            health = requests.get(f"{service.url}/health", timeout=9)
            assert (health.status_code, health.json()["status"]) == (503, "stopping")
            body = {"img": base64.b64encode(picture()).decode()}
            answer = requests.post(f"{service.url}/predict", json=body, timeout=9)
            assert answer.status_code == 503
            assert answer.json()["error"] == "the service is stopping"
            assert answer.headers["retry-after"] == "30"
            assert service.process.wait(20) == 0
        assert time.monotonic() - begin < 15  # 10 and what a busy machine adds
        assert list(tmp_path.glob("autoseg_serve_*")) == []
        assert "Traceback" not in service.log.read_text()


@pytest.mark.slow
def test_a_computation_that_nothing_can_interrupt_does_not_keep_it(flat_bundle, tmp_path):
    with served(flat_bundle, before=ONE_TILE, TMPDIR=str(tmp_path)) as service:
        with busy(service):
            assert service.stop() == 0
        assert list(tmp_path.glob("autoseg_serve_*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_twice_it_ends_at_once_and_leaves_no_images(flat_bundle, tmp_path, number):
    with served(flat_bundle, before=ONE_TILE, TMPDIR=str(tmp_path)) as service, busy(service):
        begin = time.monotonic()
        service.process.send_signal(number)
        time.sleep(0.5)
        service.process.send_signal(number)
        assert service.process.wait(20) == 128 + number
        assert time.monotonic() - begin < 5
        assert list(tmp_path.glob("autoseg_serve_*")) == []


@pytest.mark.slow
def test_beyond_its_places_a_hundred_at_once_are_told_when_to_ask_again(flat_bundle):
    slow = (
        f"{SLOW}whole = Model.segment\n"
        "Model.segment = lambda *words: (time.sleep(0.3), whole(*words))[1]"
    )
    with served(flat_bundle, "--queue", "3", before=slow) as service:
        kind, png = {"Content-Type": "image/png"}, picture()
        address = f"{service.url}/segment"
        with ThreadPoolExecutor(100) as clients:
            answers = list(
                clients.map(
                    lambda _: requests.post(address, png, headers=kind, timeout=60), [0] * 100
                )
            )
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
        for answer in answers:
            assert answer.status_code == 200 or answer.headers["retry-after"] == "5"


def test_it_listens_where_it_is_told_and_says_where(flat_bundle):
    with served(flat_bundle, host="::1") as service:
        assert requests.get(f"{service.url}/api", timeout=9).status_code == 200
        assert f"listening on http://[::1]:{service.port}\n" in service.log.read_text()
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{service.port}/api", timeout=9)

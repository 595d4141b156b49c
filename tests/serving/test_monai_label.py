"""MONAI Label's addresses as a client sees them that was written from its protocol alone."""

from __future__ import annotations

import email.parser
import email.policy
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests

from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image
from autoseg.labels import Labels
from autoseg.serving.monai_label import names_in_a_row
from tests.inference.conftest import make_bundle, make_plan
from tests.serving.flat import ROOT, one_thread, picture, served

PLAN = make_plan(Labels({"kidney": (1, 3), "tumour": (3,)}))
GRID = Geometry((22, 27, 18), (1.5, 0.8, 0.9), (-3.0, 8.0, 40.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("toy") / "bundle", plan=PLAN)


@pytest.fixture(scope="module")
def toy(bundle):
    with served(bundle, "--queue", "50") as running:
        yield running


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    file = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    array = np.random.default_rng(0).normal(0, 100, (1, *GRID.shape)).astype(np.float32)
    write_image(file, Image(array, GRID))
    return file


@pytest.fixture(scope="module")
def expected(bundle, scan):
    """The file that `autoseg_predict` writes."""
    file = scan.with_name("labels.nii.gz")
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(bundle), "-i", str(scan)]
    command += ["-o", str(file), "--device", "cpu"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=one_thread())
    assert set(np.unique(read_labels(file).array)) == {0, 1, 3}
    return file


def begin(service, data, name="scan.nii.gz"):
    answer = requests.put(f"{service.url}/session/", files={"files": (name, data)}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["session_id"]


def infer(service, model="TOY", params=None, file=None, **query):
    files = {} if file is None else {"file": ("scan.nii.gz", file)}
    fields = {"params": (None, json.dumps(params or {"client_id": "somebody"}))}
    url = f"{service.url}/infer/{model}"
    return requests.post(url, params=query, files={**fields, **files}, timeout=60)


def parts_of(answer):
    """The parts of a multipart answer, by name: (file name, content)."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.content)
    return {
        part.get_param("name", header="content-disposition"): (
            part.get_filename(), part.get_payload(decode=True)
        )
        for part in message.iter_parts()
    }  # fmt: skip


def test_what_there_is_is_told_as_clients_look_it_up(toy):
    info = requests.get(f"{toy.url}/info/", timeout=9).json()
    assert info["labels"] == ["kidney", "tumour"]
    model = info["models"]["TOY"]
    assert (model["type"], model["dimension"]) == ("segmentation", 3)
    assert model["labels"] == {"kidney": 1, "tumour": 3}
    assert model["description"] == "TOY: 3d_fullres-S, fold 0"
    for empty in ("trainers", "strategies", "scoring", "train_stats", "datastore"):
        assert info[empty] == {}
    assert requests.get(f"{toy.url}/info", timeout=9).json() == info
    assert requests.get(f"{toy.url}/auth/", timeout=9).json() == {"enabled": False}
    assert requests.get(f"{toy.url}/train/", timeout=9).status_code == 404  # nothing is trained


def test_a_session_is_an_image_that_is_sent_once(toy, scan, expected, tmp_path):
    name = begin(toy, scan.read_bytes())
    where = f"{toy.url}/session/{name}"
    assert requests.get(where, timeout=9).json()["name"] == name
    assert requests.get(where, params={"image": "true"}, timeout=9).content == scan.read_bytes()
    for ending in (".nrrd", ".nii", ".mha"):
        params = {"result_extension": ending, "result_dtype": "uint8"}
        parts = parts_of(infer(toy, params=params, image="scan", session_id=name))
        said, (file, content) = json.loads(parts["params"][1]), parts["image"]
        assert file == f"labels{ending}"
        (tmp_path / file).write_bytes(content)
        labels, wanted = read_labels(tmp_path / file), read_labels(expected)
        np.testing.assert_array_equal(labels.array, wanted.array)
        np.testing.assert_allclose(labels.geometry.spacing, GRID.spacing, rtol=1e-6)
        np.testing.assert_allclose(labels.geometry.origin, GRID.origin, rtol=1e-6)
        assert said["label_names"] == {"kidney": 1, "no label 2": 2, "tumour": 3}
        assert said["latencies"]["total"] >= 0
    assert requests.delete(where, timeout=9).json()["name"] == name
    assert requests.get(where, timeout=9).status_code == 404
    gone = infer(toy, session_id=name)
    assert gone.status_code == 404
    assert gone.json()["error"] == "there is no such session, or its time is over"


def test_labels_have_the_very_bytes_of_autoseg_predict(toy, scan, expected):
    name = begin(toy, scan.read_bytes())
    for source in ({"session_id": name}, {"file": scan.read_bytes()}):
        assert parts_of(infer(toy, **source))["image"] == ("labels.nii.gz", expected.read_bytes())
        alone = infer(toy, output="image", **source)
        assert alone.headers["content-type"] == "application/gzip"
        assert alone.content == expected.read_bytes()
        assert list(infer(toy, output="json", **source).json()["label_names"]) == [
            "kidney", "no label 2", "tumour"
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "status", "fact"),
    [
        ({"image": "/etc/passwd"}, 404, "there is no store of images here: send the image itself"),
        ({"image": "http://169.254.169.254/"}, 404, "there is no store of images here"),
        ({}, 422, "there is no image, expected a session_id or a file"),
        ({"model": "OTHER"}, 404, "there is no such model, only TOY"),
        ({"output": "dicom_seg"}, 422, "expected output all, image, json"),
        ({"file": b"%PDF-1.4"}, 415, "the body is neither NIfTI nor PNG"),
        ({"file": b"\x1f\x8b"}, 422, "the image"),
        ({"file": b""}, 415, "the body is neither NIfTI nor PNG"),
        ({"params": ["x"]}, 422, "params is no JSON object"),
        ({"params": {"result_extension": "/x.sh"}}, 422, "expected result_extension .nii.gz, .n"),
        ({"session_id": "../../etc"}, 404, "there is no such session, or its time is over"),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_sentence(toy, scan, query, status, fact):
    if "params" in query:
        query = {"file": scan.read_bytes(), **query}
    answer = infer(toy, **query)
    assert (answer.status_code, answer.json()["error"].startswith(fact)) == (status, True)


def test_a_session_and_a_file_exclude_each_other(toy, scan):
    answer = infer(toy, file=scan.read_bytes(), session_id=begin(toy, scan.read_bytes()))
    assert answer.status_code == 422
    assert answer.json()["error"] == "there is a session and a file, expected one of them"


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ([("files", b"x"), ("files", b"x")], "the form has more than one file"),
        ([("file", b"x")], "the form has another file than files"),
        ([("files", b"hello")], "the body is neither NIfTI nor PNG"),
        ([("params", None)], "the form has no file, expected one image"),
        ([("a", None), ("a", None)], "the form says something twice"),
        ([("params", b"x" * 70_000)], "the body is longer than 65,536 bytes"),
    ],
)
def test_a_session_is_one_image(toy, files, fact):
    fields = [
        (key, ("a.nii", data) if key.startswith("file") else (None, data or b"x"))
        for key, data in files
    ]
    answer = requests.put(f"{toy.url}/session/", files=fields, timeout=9)
    assert answer.status_code in (413, 415, 422)
    assert answer.json()["error"].startswith(fact)


def test_forms_of_other_sites_are_refused(toy, scan):
    form = {"file": scan.read_bytes()}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = requests.post(
            f"{toy.url}/infer/TOY", files=form, headers={"Origin": origin}, timeout=9
        )
        assert answer.status_code == 403
        assert answer.json()["error"] == "forms of other sites are not taken"
    own = {"Origin": toy.url}
    assert requests.post(f"{toy.url}/infer/TOY", files=form, headers=own).status_code == 200


def test_a_picture_has_its_labels_as_a_picture(service, tmp_path):
    info = requests.get(f"{service.url}/info/", timeout=9).json()
    assert info["models"]["FLAT"]["dimension"] == 2
    png = picture(50, 40)
    name = begin(service, png, "a.png")
    file, content = parts_of(infer(service, "FLAT", session_id=name))["image"]
    headers = {"Content-Type": "image/png"}
    other = requests.post(f"{service.url}/segment", data=png, headers=headers, timeout=30)
    assert (file, content) == ("labels.png", other.content)
    params = {"result_extension": ".nrrd"}
    parts = parts_of(infer(service, "FLAT", params, session_id=name))
    (tmp_path / "labels.nrrd").write_bytes(parts["image"][1])
    (tmp_path / "labels.png").write_bytes(content)
    np.testing.assert_array_equal(
        read_labels(tmp_path / "labels.nrrd").array, read_labels(tmp_path / "labels.png").array
    )


def test_clients_at_once_get_the_labels_of_their_own_image(service):
    pngs = [picture(40 + n, 30, n) for n in range(12)]

    def ask(png):
        answer = infer(service, "FLAT", output="image", session_id=begin(service, png, "a.png"))
        return answer.content

    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(ask, pngs))
    for png, content in zip(pngs, answers, strict=True):
        assert content == infer(service, "FLAT", file=png, output="image").content


def test_the_end_of_the_service_is_the_end_of_its_sessions(flat_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served(flat_bundle) as ending:
        begin(ending, picture(), "a.png")
        (image,) = tmp_path.rglob("image.png")
        assert image.parent.stat().st_mode & 0o777 == 0o700
        assert ending.stop() == 0
    assert list(tmp_path.glob("autoseg_serve_*")) == []  # torch has a folder of its own there


def test_names_without_gaps_are_as_they_are():
    assert names_in_a_row(Labels({"b": (2,), "a": (1,)})) == {"a": 1, "b": 2}


HEAD = b"POST /infer/TOY HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data"


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"", b"--x\r\n\r\n--x--", 422),
        (b"; boundary=x", b"--x\r\n" + b"A: " + b"a" * 20_000, 422),
        (b"; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 4000, 422),
        (b"; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n\x5c\1', 422),
        (b"; boundary=x", b"no form at all", 422),
        (b"; boundary=x\r\nContent-Encoding: gzip", b"--x--", 415),
    ],
)
def test_forms_that_are_none_are_refused_on_the_bare_socket(toy, head, body, status):
    with socket.create_connection(("127.0.0.1", toy.port), timeout=9) as client:
        client.sendall(HEAD + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert requests.get(f"{toy.url}/health", timeout=9).json() == {"status": "ok", "waiting": 0}


def test_a_client_that_leaves_takes_its_image_with_it(toy, tmp_path):
    array = np.random.default_rng(0).normal(0, 100, (1, 60, 200, 200)).astype(np.float32)
    grid = Geometry(array.shape[1:], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    write_image(tmp_path / "large.nii", Image(array, grid))
    name = begin(toy, (tmp_path / "large.nii").read_bytes(), "large.nii")
    body = b"--x--"
    with socket.create_connection(("127.0.0.1", toy.port), timeout=9) as client:
        head = HEAD.replace(b"TOY", b"TOY?session_id=" + name.encode()) + b"; boundary=x\r\n"
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.5)
    until = time.monotonic() + 20
    while "POST /infer/TOY 400" not in toy.log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    assert "POST /infer/TOY 400" in toy.log.read_text()  # not 200: nobody took it
    assert requests.delete(f"{toy.url}/session/{name}", timeout=9).status_code == 200
    assert "Traceback" not in toy.log.read_text()

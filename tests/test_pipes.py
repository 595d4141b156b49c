"""Scans from stdin, label maps to stdout, and nothing else there."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.io import read_labels
from autoseg.workflows.predict import predict
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle
from tests.workflows.test_predict import write_scan

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipes")
    make_bundle(folder / "bundle")
    write_scan(folder / "scan.nii.gz")
    bundles = [folder / "bundle"]
    predict(Workspace(folder), folder / "scan.nii.gz", folder / "seg.nii.gz", bundles=bundles)
    return folder


def pipe(place, data, *words, bundle="bundle"):
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(place / bundle), *words]
    return subprocess.run(command, cwd=ROOT, input=data, capture_output=True)


def test_nifti_in_nifti_out_and_nothing_else_on_stdout(place):
    packed = (place / "scan.nii.gz").read_bytes()
    answer = pipe(place, packed, "-i", "-", "-o", "-")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (place / "seg.nii.gz").read_bytes()
    assert b"model 3d_fullres-S" in answer.stderr
    # Not compressed in, not compressed out.
    plain = pipe(place, gzip.decompress(packed), "-i", "-", "-o", "-").stdout
    assert plain == gzip.decompress(answer.stdout)


def test_either_end_may_be_a_file(place, tmp_path):
    answer = pipe(place, b"", "-i", str(place / "scan.nii.gz"), "-o", "-")
    assert answer.stdout == (place / "seg.nii.gz").read_bytes()
    seg = tmp_path / "seg.mha"
    answer = pipe(place, (place / "scan.nii.gz").read_bytes(), "-i", "-", "-o", str(seg))
    assert answer.stdout.decode().split() == ["label", "map:", str(seg)]
    assert read_labels(seg).array.any()


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", 3, b"stdin: is empty (0 bytes)"),
        (b"<html>login</html>" * 9, 3, b"stdin: is a web page, not an image"),
        (b"\x89PNG\r\n\x1a\n" * 9, 3, b"stdin: is no NIfTI file, expected NIfTI, compressed or"),
        (b"\x1f\x8b" + bytes(99), 3, b"error: stdin: its compressed data are damaged"),
    ],
)
def test_what_is_wrong_on_stdin_is_said_on_stderr(place, data, code, said):
    answer = pipe(place, data, "-i", "-", "-o", "-")
    assert (answer.returncode, answer.stdout) == (code, b"")
    assert said in answer.stderr


def test_a_mistake_leaves_stdout_empty(place):
    answer = pipe(place, b"", "-i", "-", "-", "-o", "-")
    assert (answer.returncode, answer.stdout) == (2, b"")
    assert b"stdin can be one image only" in answer.stderr
    (place / "two").mkdir()
    for name in "ab":
        shutil.copy(place / "scan.nii.gz", place / "two" / f"{name}.nii.gz")
    answer = pipe(place, b"", "-i", str(place / "two"), "-o", "-")
    assert (answer.returncode, answer.stdout) == (2, b"")
    assert b"holds 2 cases, and stdout is one file" in answer.stderr
    answer = pipe(place, b"", "-i", str(place / "scan.nii.gz"), "-o", "-", bundle="nothing")
    assert (answer.returncode, answer.stdout) == (2, b"")
    assert b"no model here" in answer.stderr

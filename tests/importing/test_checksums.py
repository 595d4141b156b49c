"""Lists of SHA-256 sums: in every spelling that sha256sum has, each file judged by itself."""

import hashlib
import subprocess

import pytest

from autoseg.errors import DataError
from autoseg.importing.checksums import check_sums


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "train set.zip").write_bytes(b"voxels")
    (folder / "test.zip").write_bytes(b"")
    return folder


def sums(*arguments, folder):
    command = ["sha256sum", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("option", ["--text", "--binary", "--tag"])
def test_files_are_as_sha256sum_listed_them(files, option):
    listed = files / "all.sha256"
    listed.write_text(sums(option, "train set.zip", "test.zip", folder=files))
    assert check_sums(listed) == (["train set.zip", "test.zip"], [])


def test_names_are_relative_to_the_current_folder_as_for_sha256sum(files, monkeypatch):
    listed = files / "all.sha256"
    listed.write_text(sums("my data/test.zip", folder=files.parent))
    monkeypatch.chdir(files.parent)
    assert check_sums(listed) == (["my data/test.zip"], [])


def test_every_file_that_differs_or_is_gone_is_told(files):
    listed = files / "all.sha256"
    good = sums("train set.zip", "test.zip", folder=files)
    listed.write_text("# from the archive\r\n" + good + f"{'0' * 64}  gone.zip\r\nnonsense\n\n")
    (files / "test.zip").write_bytes(b"cut")
    intact, problems = check_sums(listed)
    assert intact == ["train set.zip"]
    empty, cut = (hashlib.sha256(text).hexdigest()[:12] for text in (b"", b"cut"))
    assert [str(problem) for problem in problems] == [
        f"test.zip: is not as listed: SHA-256 {cut}..., 3 bytes, expected {empty}... "
        "-> copy or download it again",
        "gone.zip: file not found -> download it, or go to the folder it is in",
        f"{listed}, line 5: 'nonsense', expected 64 hexadecimal digits, two spaces, and a file",
    ]


def test_names_with_line_breaks_are_escaped(files):
    (files / "two\nlines\\").write_bytes(b"x")
    listed = files / "all.sha256"
    listed.write_text(sums("two\nlines\\", folder=files))
    assert check_sums(listed) == (["two\nlines\\"], [])


def test_what_is_no_list_is_told(files):
    listed = files / "all.sha256"
    with pytest.raises(DataError, match="file not found"):
        check_sums(listed)
    listed.write_text("\n")
    with pytest.raises(DataError, match="holds no checksum"):
        check_sums(listed)
    listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        check_sums(listed)

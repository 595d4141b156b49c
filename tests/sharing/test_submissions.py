"""Packing: the same bytes every time, nothing of this computer in them."""

import os
import sys
import tarfile
import zipfile

import pytest

from autoseg.errors import ResourceError, UsageError
from autoseg.sharing.submissions import Piece, check_package, kits_name, own_file, pack


@pytest.fixture
def pieces(tmp_path):
    (tmp_path / "secret").mkdir()
    found = []
    for number, place in enumerate(("val/b.txt", "val/a.txt", "c.bin")):
        path = tmp_path / "secret" / f"{number}"
        path.write_bytes(os.urandom(3) + bytes(1000 * number))
        found.append(Piece(place, path))
    return found


def contents(path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers()}


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.zip"])
def test_everything_is_in_it_in_order_and_nothing_else(tmp_path, pieces, name):
    pack(pieces, tmp_path / name, "top")
    found = contents(tmp_path / name)
    assert list(found) == ["top/c.bin", "top/val/a.txt", "top/val/b.txt"]
    assert found["top/c.bin"] == pieces[2].source.read_bytes()
    assert b"secret" not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("ending", [".tar.gz", ".zip"])
def test_the_same_files_give_the_same_bytes(tmp_path, pieces, ending):
    pack(pieces, tmp_path / f"one{ending}")
    for piece in pieces:
        os.utime(piece.source, (1, 1))
        piece.source.chmod(0o600)
    pack(pieces[::-1], tmp_path / f"two{ending}")
    one, two = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("one", "two"))
    assert one == two
    if ending == ".tar.gz":
        assert one[3:8] == bytes(5)  # neither a name nor a date in gzip's own header


def test_nobody_owns_what_is_in_a_tar(tmp_path, pieces):
    pack(pieces, tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz") as archive:
        facts = {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in archive.getmembers()}
    assert facts == {(0, 0, 0, "", 0o644)}


def test_without_an_ending_it_is_a_folder(tmp_path, pieces):
    pack(pieces, tmp_path / "folder", "top")
    files = [p for p in (tmp_path / "folder").rglob("*") if p.is_file()]
    assert len(files) == 3
    assert (tmp_path / "folder/top/val/a.txt").read_bytes() == pieces[1].source.read_bytes()


def test_zstandard_is_named_when_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ResourceError, match="zstandard is not installed -> pip install zstandard"):
        check_package(tmp_path / "x.tar.zst")


def test_a_tar_of_zstandard_is_a_tar(tmp_path, pieces):
    zstandard = pytest.importorskip("zstandard", reason="an optional way to pack")
    pack(pieces, tmp_path / "x.tar.zst", "top")
    with (tmp_path / "x.tar.zst").open("rb") as stream:
        plain = zstandard.ZstdDecompressor().stream_reader(stream)
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            assert [m.name for m in archive] == ["top/c.bin", "top/val/a.txt", "top/val/b.txt"]


def test_a_bundle_of_git_is_recognised(tmp_path):
    problems = []
    assert own_file(tmp_path, "g.bundle", "make it", problems) == []
    assert (
        str(problems[0])
        == f"g.bundle: is missing, expected the file {tmp_path}/g.bundle -> make it"
    )
    (tmp_path / "g.bundle").write_bytes(b"PK\3\4")
    own_file(tmp_path, "g.bundle", "make it", problems)
    assert "is not what git bundle writes -> make it" in str(problems[1])
    (tmp_path / "g.bundle").write_bytes(b"# v2 git bundle\n1234 HEAD\n\nPACK")
    assert own_file(tmp_path, "g.bundle", "", problems)[0].place == "g.bundle"
    assert len(problems) == 2


@pytest.mark.parametrize("case", ["case_00160", "prediction_00160", "00160"])
def test_kits_has_names_of_its_own(case):
    assert kits_name(case) == "prediction_00160.nii.gz"


@pytest.mark.parametrize("case", ["case_160", "Patient_00160", "case_00160_0000"])
def test_what_is_no_case_of_kits_is_told(case):
    with pytest.raises(UsageError, match="is no case of KiTS, expected case_ and five digits"):
        kits_name(case)

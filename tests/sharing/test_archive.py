"""Zips that lie about names, kinds and sizes are refused before anything of them is written."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from autoseg.errors import CorruptError, UsageError
from autoseg.sharing import archive
from autoseg.sharing.archive import extract, list_archive, members_of_bundle, write_archive

GOOD = {"m/card.json": b"{}", "m/fold_0/weights.safetensors": b"w" * 100}


def make_zip(path: Path, members: dict[str, bytes], **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # ZipInfo would clean it up
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            target.writestr(info, content)
    return path


def test_an_honest_zip_is_unpacked(tmp_path: Path):
    path = make_zip(tmp_path / "a.zip", GOOD)
    names = list_archive(path)
    files = members_of_bundle(names, path)
    assert files == {n: n.removeprefix("m/") for n in GOOD}
    extract(path, files, tmp_path / "out")
    assert (tmp_path / "out/fold_0/weights.safetensors").read_bytes() == b"w" * 100


@pytest.mark.parametrize(
    "name",
    ["../card.json", "a/../../card.json", "/etc/passwd", "C:/card.json", "c:card.json",
     "..\\card.json", "a\\card.json", "a//card.json", "./card.json", "a/\ncard.json", ""],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str):
    path = make_zip(tmp_path / "a.zip", {**GOOD, name: b"x"})
    with pytest.raises(CorruptError, match="leads elsewhere"):
        list_archive(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int):
    path = make_zip(tmp_path / "a.zip", GOOD, external_attr=(kind | 0o777) << 16)
    with pytest.raises(CorruptError, match="link or a device"):
        list_archive(path)


def test_a_bomb_that_says_what_it_is_is_refused(tmp_path: Path):
    path = make_zip(tmp_path / "a.zip", {"m/card.json": b"\0" * 10_000_000})
    with pytest.raises(CorruptError, match="would unpack"):
        list_archive(path)


def test_a_bomb_that_lies_about_its_size_is_counted_while_it_unpacks(tmp_path: Path):
    path = make_zip(tmp_path / "a.zip", {"m/fold_0/weights.safetensors": b"\0" * 3_000_000})
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\1\2")
    assert struct.unpack_from("<L", data, entry + 24) == (3_000_000,)
    struct.pack_into("<L", data, entry + 24, 100)  # uncompressed size, in the directory
    path.write_bytes(data)
    files = {"m/fold_0/weights.safetensors": "fold_0/weights.safetensors"}
    assert list_archive(path) == list(files)
    with pytest.raises(CorruptError, match="cannot be unpacked"):
        extract(path, files, tmp_path / "out")
    # And whatever the reader made of that number: the bytes are counted.
    path = make_zip(tmp_path / "b.zip", {"m/fold_0/weights.safetensors": b"\0" * 3_000_000})
    with pytest.raises(CorruptError, match="unpacks to more than"):
        extract(path, files, tmp_path / "out")
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_a_text_of_gigabytes_is_not_read_into_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_TEXT", 10)
    path = make_zip(tmp_path / "a.zip", {"m/card.json": b"{          }"})
    with pytest.raises(CorruptError, match="more than 10 bytes"):
        extract(path, {"m/card.json": "card.json"}, tmp_path / "out")


def test_members_on_top_of_each_other_are_refused(tmp_path: Path):
    path = make_zip(tmp_path / "a.zip", {"a": b"0123456789" * 50, "b": b"1" * 200})
    data = bytearray(path.read_bytes())
    first = data.find(b"PK\1\2")
    struct.pack_into("<L", data, first + 20, 5000)  # compressed size
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="on top of each other"):
        list_archive(path)


def test_a_crowd_of_members_is_refused_from_the_end_of_the_file(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        for number in range(10_001):
            target.writestr(f"m/{number}", b"")
    monkeypatch.setattr(archive.zipfile, "ZipFile", None)  # its table is not even read
    with pytest.raises(CorruptError, match="10,001 members or more"):
        list_archive(path)


def test_a_crowd_that_lies_about_its_number_is_refused_too(tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        for number in range(10_001):
            target.writestr(f"m/{number}", b"")
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\5\6")
    struct.pack_into("<2H", data, end + 8, 1, 1)
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=r"10,001 members|cannot be unpacked"):
        list_archive(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["m/card.json", "m/CARD.json"])
def test_a_name_that_occurs_twice_is_refused(tmp_path: Path, other: str):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("m/card.json", b"{}")
        target.writestr(other, b"{}")
    with pytest.raises(CorruptError, match="twice"):
        list_archive(path)


def test_an_encrypted_member_is_refused(tmp_path: Path):
    path = make_zip(tmp_path / "a.zip", GOOD)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="encrypted"):
        list_archive(path)


def test_another_compression_is_refused(tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as target:
        target.writestr("m/card.json", b"{}" * 100)
    with pytest.raises(CorruptError, match="compressed by method 14"):
        list_archive(path)


@pytest.mark.parametrize("keep", [0, 3, 40, 200, -1, -30])
def test_a_truncated_zip_is_refused(tmp_path: Path, keep: int):
    path = make_zip(tmp_path / "a.zip", GOOD)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptError):
        list_archive(path)


def test_damage_inside_a_member_is_noticed_while_unpacking(tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("m/card.json", b"0123456789")
    path.write_bytes(path.read_bytes().replace(b"01234", b"01235"))
    with pytest.raises(CorruptError, match="Bad CRC"):
        extract(path, {"m/card.json": "card.json"}, tmp_path / "out")
    assert not (tmp_path / "out/card.json").exists()


@pytest.mark.parametrize(
    ("name", "word"),
    [("m/postprocessing.pkl", "a pickle could run code"), ("m/fold_0/w.pth", "a pickle could run"),
     ("m/trainer.py", "nothing was unpacked"), ("other/card.json", "nothing was unpacked"),
     ("m/fold_0/notes/card.json", "nothing"), ("m/fold_../card.json", "nothing")],
)  # fmt: skip
def test_what_is_no_part_of_a_model_is_refused(name: str, word: str):
    with pytest.raises(CorruptError, match=word):
        members_of_bundle([*GOOD, name], Path("a.zip"))


def test_what_a_mac_adds_is_left_out():
    names = [*GOOD, "__MACOSX/m/._card.json", "m/.DS_Store"]
    assert set(members_of_bundle(names, Path("a.zip"))) == set(GOOD)


def test_files_of_a_first_stage_are_part_of_a_model():
    files = members_of_bundle([*GOOD, "m/previous/card.json"], Path("a.zip"))
    assert files["m/previous/card.json"] == "previous/card.json"


def test_no_file_and_no_zip_are_told(tmp_path: Path):
    with pytest.raises(UsageError, match="no such file"):
        list_archive(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(b"\x80\x04cposix\nsystem\n" * 100)
    with pytest.raises(CorruptError, match="not a zip file"):
        list_archive(tmp_path / "a.zip")


def test_a_zip_that_we_write_has_no_dates_and_the_same_bytes(tmp_path: Path):
    for folder in ("one", "two"):
        for name in ("card.json", "fold_0/weights.safetensors", "notes.txt", ".autoseg.lock"):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        write_archive(tmp_path / folder, tmp_path / f"{folder}.zip", "TOY")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert list_archive(tmp_path / "one.zip") == [
        "TOY/card.json", "TOY/fold_0/weights.safetensors"
    ]  # fmt: skip

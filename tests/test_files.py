"""Files appear whole or not at all; what is wrong in a JSON file is named."""

import errno

import pytest

from autoseg.errors import DataError, ResourceError
from autoseg.files import append_line, json_text, read_json, sha256, write_atomically, write_json


def test_lines_are_appended_and_a_place_that_takes_none_is_named(tmp_path):
    append_line(tmp_path / "list.txt", "größer")
    append_line(tmp_path / "list.txt", "b")
    assert (tmp_path / "list.txt").read_text(encoding="utf-8") == "größer\nb\n"
    with pytest.raises(ResourceError, match=r"gone/list\.txt") as caught:
        append_line(tmp_path / "gone" / "list.txt", "c")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "plan.json"
    write_json(path, {"a": 1})

    def half_then_fail(stream):
        stream.write(b'{"a"')
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_atomically(path, half_then_fail)
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only")],
)
def test_a_refusing_disk_is_a_resource_error(tmp_path, number, words):
    def refuse(stream):
        raise OSError(number, "refused")

    with pytest.raises(ResourceError, match=words):
        write_atomically(tmp_path / "x", refuse)


def test_folders_are_made_on_the_way(tmp_path):
    write_json(tmp_path / "a" / "b.json", [1])
    assert read_json(tmp_path / "a" / "b.json") == [1]


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"dice": float("nan")})


def test_json_keeps_lists_of_numbers_on_one_line():
    assert json_text({"patch": [1, 2]}) == '{\n  "patch": [1, 2]\n}\n'


def test_a_byte_order_mark_is_accepted(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": 1,}', "line 1"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_json_file_is_named(tmp_path, text, words):
    path = tmp_path / "dataset.json"
    path.write_bytes(text)
    with pytest.raises(DataError, match=words) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: file not found"):
        read_json(tmp_path / "none.json")


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")

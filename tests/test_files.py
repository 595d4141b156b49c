"""Files appear whole or not at all; records survive JSON; a folder has one owner at a time."""

import errno
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError, LockedError, ResourceError
from autoseg.files import (
    append_line,
    fingerprint_of,
    from_json,
    json_text,
    locked,
    read_json,
    sha256,
    to_json,
    write_atomically,
    write_json,
)


@dataclass(frozen=True)
class Leaf:
    size: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Tree:
    name: str
    leaves: dict[str, Leaf]
    height: float | None = None
    marks: tuple[str, ...] = field(default=())


TREE = Tree("oak", {"a": Leaf((1, 2), 0.5)}, None, ("x",))


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


def test_numpy_numbers_become_plain_ones():
    value = {"n": np.int64(3), "x": np.float32(0.5), "list": np.arange(2), "path": Path("a")}
    assert to_json(value) == {"n": 3, "x": 0.5, "list": [0, 1], "path": "a"}


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


def test_a_record_survives_json(tmp_path):
    write_json(tmp_path / "tree.json", TREE)
    assert from_json(Tree, read_json(tmp_path / "tree.json")) == TREE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nmae": "x"}, "Tree: unknown field 'nmae' -> did you mean 'name'?"),
        ({"name": 3}, "Tree.name: found 3, expected str"),
        ({"height": True}, "Tree.height: found true, expected float"),
        ({"marks": "x"}, 'Tree.marks: found "x", expected a list'),
        ({"leaves": {"a": {"weight": 1.0}}}, "Tree.leaves.a: misses size"),
        ({"leaves": {"a": {"size": [1, "2"]}}}, r'Tree.leaves.a.size\[1\]: found "2"'),
        ({"leaves": [1]}, "Tree.leaves: found \\[1\\], expected an object"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(change, words):
    with pytest.raises(CorruptError, match=words.replace("?", r"\?")):
        from_json(Tree, {**to_json(TREE), **change})


def test_an_integer_stands_for_a_float():
    assert from_json(Leaf, {"size": [1], "weight": 2}).weight == 2.0


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_the_fingerprint_of_a_value_does_not_depend_on_key_order():
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})


def test_a_second_process_finds_the_folder_locked(tmp_path):
    holder = (
        "import sys, pathlib; from autoseg.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'autoseg_train'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"pid {process.pid} .*autoseg_train"):
            locked(tmp_path).__enter__()
        process.kill()
    with locked(tmp_path):
        pass  # the lock of a dead process is free at once


def test_a_lock_may_be_waited_for(tmp_path):
    with locked(tmp_path):
        waiting = threading.Thread(target=lambda: locked(tmp_path, wait_s=5).__enter__())
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join(5)
    assert not waiting.is_alive()


def test_locking_removes_what_dead_writers_left(tmp_path):
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    litter = tmp_path / f".plan.json.{finished.pid}.0badcafe.tmp"
    ours = tmp_path / f".plan.json.{os.getpid()}.0badcafe.tmp"
    litter.touch()
    ours.touch()
    with locked(tmp_path):
        assert not litter.exists()
        assert ours.exists()

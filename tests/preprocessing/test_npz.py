"""`.npz` files that are read in place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import CorruptError
from autoseg.preprocessing import npz

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = {
    "image": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "flags": np.asarray([[True], [False]]),
    "nothing": np.zeros((0, 3), np.int32),
    "turned": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_numpy_reads_what_is_written_whatever_its_size(tmp_path, monkeypatch, large, compress):
    monkeypatch.setattr(npz, "LARGE", 0 if large else 1 << 30)
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        checksums = npz.write_npz(stream, MEMBERS, compress)
    assert checksums.keys() == MEMBERS.keys()
    with np.load(path, allow_pickle=False) as archive:
        for name, array in MEMBERS.items():
            np.testing.assert_array_equal(archive[name], array)


@pytest.mark.parametrize("large", [False, True])
def test_members_are_mapped_aligned_and_read_only(tmp_path, monkeypatch, large):
    monkeypatch.setattr(npz, "LARGE", 0 if large else 1 << 30)
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        npz.write_npz(stream, MEMBERS)
    found = npz.map_npz(path, path.stat().st_size)
    for name, array in MEMBERS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert found["image"].ctypes.data % npz.ALIGNMENT == 0
    with pytest.raises(ValueError, match="read-only"):
        found["image"][0] = 1


def test_objects_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, evil=np.asarray([{}], dtype=object))
    with pytest.raises(CorruptError, match="array of objects"):
        npz.map_npz(path, path.stat().st_size)


# --- fetching ------------------------------------------------------------------------------------


@pytest.fixture
def volume(tmp_path):
    """A mapped array (2, 5, 6, 7) of 420 different int16, and where in the file it begins."""
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        npz.write_npz(stream, {"image": np.arange(420, dtype=np.int16).reshape(2, 5, 6, 7)})
    return npz.map_npz(path, path.stat().st_size)["image"], path


@pytest.mark.parametrize("one_fetch", [0, 1 << 20])
def test_fetched_is_what_lies_under_a_part_and_little_more(volume, monkeypatch, one_fetch):
    asked = []
    monkeypatch.setattr(npz, "_fetch_bytes", lambda _, first, length: asked.append((first, length)))
    monkeypatch.setattr(npz, "ONE_FETCH", one_fetch)
    array, path = volume
    part = array[:, 1:3, 2:5, 3:6]
    npz.fetch(part)
    file = path.read_bytes()
    got = [
        value
        for first, length in asked
        for value in np.frombuffer(file[first : first + length], np.int16)
    ]
    assert set(part.ravel()) <= set(got)
    # Plane by plane from its first voxel to its last: two rows of 7 and 3 voxels of the third.
    assert len(asked) == (1 if one_fetch else 4)
    assert len(got) == (1 + array.size // 2 + (1 * 6 + 2) * 7 + 2 if one_fetch else 4 * (2 * 7 + 3))


def test_a_request_begins_with_a_page():
    class Mapped:
        def madvise(self, option, start, length):
            self.asked = (option, start, length)

    mapped = Mapped()
    page = npz.mmap.PAGESIZE
    npz._fetch_bytes(mapped, 3 * page + 10, 20)
    assert mapped.asked == (npz.mmap.MADV_WILLNEED, 3 * page, 30)


def test_arrays_in_memory_and_empty_parts_need_no_fetching(volume, monkeypatch):
    monkeypatch.setattr(npz, "_fetch_bytes", lambda *_: pytest.fail("fetched"))
    npz.fetch(np.zeros((3, 4, 5)))
    npz.fetch(np.frombuffer(b"abc", np.uint8))
    npz.fetch(volume[0][:, :0])


def test_the_system_takes_the_requests(volume):
    for part in (volume[0], volume[0][0, 4, 5, 6:], volume[0][1, 2:, 3:, 4:]):
        npz.fetch(part)


# --- open files ----------------------------------------------------------------------------------

OPEN_MANY = """
import resource, sys
from pathlib import Path
from autoseg.preprocessing.npz import map_npz
soft, hard = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
path = Path(sys.argv[1])
maps = [map_npz(path, path.stat().st_size) for _ in range(60)]
print(len(maps), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def open_many(path, soft, hard):
    words = [sys.executable, "-c", OPEN_MANY, str(path), str(soft), str(hard)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)


def test_more_cases_than_open_files_are_allowed_at_first(volume):
    done = open_many(volume[1], 30, 200)
    assert done.stdout.split() == ["60", "200"], done.stderr


def test_more_cases_than_may_be_opened_are_told(volume):
    done = open_many(volume[1], 30, 40)
    assert "ResourceError" in done.stderr
    assert "more than 40 files would be open at once" in done.stderr
    assert "allow more (ulimit -n), or train on fewer cases" in done.stderr

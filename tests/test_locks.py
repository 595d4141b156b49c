"""A folder has one owner at a time; what a dead one left goes."""

import os
import subprocess
import sys
import threading

import pytest

from autoseg.errors import LockedError
from autoseg.locks import building, locked


def test_a_second_process_finds_the_folder_locked(tmp_path):
    holder = (
        "import sys, pathlib; from autoseg.locks import locked\n"
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


def test_a_building_room_goes_with_its_block_and_so_does_that_of_a_killed_process(tmp_path):
    place = tmp_path / "not" / "yet" / "there"
    with building(place) as room:
        (room / "half").touch()
        assert room.parent == tmp_path  # on the disk where the place will be
    assert list(tmp_path.iterdir()) == []
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    host = room.name.split(".")[2]
    (tmp_path / f".autoseg-building.{host}.{finished.pid}.0badcafe").mkdir()
    with building(place) as room:
        assert list(tmp_path.iterdir()) == [room]

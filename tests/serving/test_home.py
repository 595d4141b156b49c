"""The folder of a service: what a killed one left goes, what a running one has stays."""

from __future__ import annotations

import signal
import tempfile

import pytest
import requests

from autoseg.serving.home import PREFIX, Home
from tests.serving.flat import picture, served


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_goes_with_all_that_is_in_it(temporary):
    home = Home()
    (home.new_folder() / "image").write_text("a scan")
    assert home.path.parent == temporary
    assert home.path.stat().st_mode & 0o777 == 0o700
    home.remove()
    assert list(temporary.iterdir()) == []


def test_services_beside_each_other_leave_each_other_alone(temporary):
    homes = [Home(), Home()]
    assert all(home.path.exists() for home in homes)
    for home in homes:
        home.remove()


def test_what_is_not_of_a_service_stays(temporary):
    other, aside = temporary / f"{PREFIX}notes", temporary / "other"
    other.mkdir()
    aside.mkdir()
    (aside / ".autoseg.lock").touch()
    (temporary / f"{PREFIX}link").symlink_to(aside)
    (temporary / f"{PREFIX}file").touch()
    Home().remove()
    assert len(list(temporary.iterdir())) == 4
    assert list(aside.iterdir()) == [aside / ".autoseg.lock"]


@pytest.mark.slow
def test_the_scans_of_a_killed_service_are_removed_by_the_next(flat_bundle, tmp_path):
    with served(flat_bundle, TMPDIR=str(tmp_path)) as killed:
        form = {"files": ("a.png", picture())}
        assert requests.put(f"{killed.url}/session/", files=form, timeout=9).status_code == 200
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(20)
    (left,) = tmp_path.glob(f"{PREFIX}*")
    assert list(left.rglob("image.png"))
    with served(flat_bundle, TMPDIR=str(tmp_path)) as service:
        assert not left.exists()
        log = service.log.read_text()
    assert f"removed {left}, which a service that was killed had left" in log
    assert f"images lie in {tmp_path}/{PREFIX}" in log

"""Images that are kept for a while: their number, their bytes and their life have bounds."""

from __future__ import annotations

import asyncio

import pytest

from autoseg.serving import sessions as module
from autoseg.serving.refusal import Refusal
from autoseg.serving.sessions import Sessions


def image(tmp_path, name, size=1):
    (tmp_path / name).mkdir()
    (tmp_path / name / "image.nii").write_bytes(b"x" * size)
    return tmp_path / name / "image.nii"


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_session_tells_what_it_is_and_no_place(tmp_path):
    async def scenario():
        session = Sessions().add(image(tmp_path, "a"))
        said = session.info()
        assert said["name"] == session.id
        assert (said["image"], said["path"], said["expiry"]) == ("image.nii", "", 3600)
        assert said["last_access_ts"] >= said["create_ts"] > 1e9
        assert str(tmp_path) not in str(said)

    run(scenario)


def test_the_least_recently_used_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(module, "KEPT_BYTES", 100)

    async def scenario():
        sessions = Sessions()
        a, b = sessions.add(image(tmp_path, "a")), sessions.add(image(tmp_path, "b"))
        sessions.find(a.id)
        c = sessions.add(image(tmp_path, "c", 60))
        with pytest.raises(Refusal, match="there is no such session, or its time is over") as gone:
            sessions.find(b.id)
        assert gone.value.status == 404
        assert [s.image.exists() for s in (a, b, c)] == [True, False, True]
        d = sessions.add(image(tmp_path, "d", 60))  # too many bytes together with c, not with a
        assert [s.image.exists() for s in (a, c, d)] == [False, False, True]
        sessions.forget(d.id)
        assert not d.image.parent.exists()

    run(scenario)


def test_a_session_that_nobody_asks_about_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LIFE_S", 0.4)

    async def scenario():
        sessions = Sessions()
        asked, idle = sessions.add(image(tmp_path, "a")), sessions.add(image(tmp_path, "b"))
        for _ in range(4):
            await asyncio.sleep(0.2)
            sessions.find(asked.id)
        assert asked.image.exists()
        assert not idle.image.parent.exists()
        await asyncio.sleep(0.6)
        assert not asked.image.parent.exists()

    run(scenario)

"""Files of tokens: what is one, and who can read it."""

from __future__ import annotations

import pytest

from autoseg.errors import UsageError
from autoseg.serving.access import read_token

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"{TOKEN}\r\n", f" {TOKEN} "])
def test_space_around_a_token_is_no_part_of_it(tmp_path, text):
    (tmp_path / "token").write_bytes(text.encode())
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("text", ["", "\n", TOKEN[1:], f"{TOKEN}\n{TOKEN}", f"{TOKEN}\u00e9"])
def test_what_is_no_token_is_refused_without_telling_it(tmp_path, text):
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="holds no token, expected at least 16 letters") as caught:
        read_token(tmp_path / "token")
    assert TOKEN[1:] not in str(caught.value)


def test_a_token_that_others_can_read_is_told_of(tmp_path, caplog):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    read_token(tmp_path / "token")
    assert caplog.messages == []
    (tmp_path / "token").chmod(0o644)
    read_token(tmp_path / "token")
    assert caplog.messages == [
        f"{tmp_path / 'token'}: others on this machine can read the token -> chmod 600"
    ]

"""A client that knows names and passwords, not tokens."""

from __future__ import annotations

import pytest
import requests

from tests.serving.flat import served

TOKEN = "0123456789abcdef+/="
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def url(flat_bundle, tmp_path_factory):
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    with served(flat_bundle, "--token-file", str(file)) as running:
        yield running.url


def test_the_password_is_the_token_whatever_the_name(url):
    assert requests.get(f"{url}/auth/", timeout=9).json() == {"enabled": True}
    assert requests.get(f"{url}/auth/token/valid", timeout=9).status_code == 401
    said = {"username": "somebody", "password": TOKEN, "grant_type": "password"}
    answer = requests.post(f"{url}/auth/token", data=said, timeout=9)
    assert answer.json() == {"access_token": TOKEN, "token_type": "bearer"}
    bearer = {"Authorization": f"bearer {TOKEN}"}
    for path in ("/auth/token/valid", "/info/"):
        assert requests.get(url + path, headers=bearer, timeout=9).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "fact"),
    [
        (b"password=" + TOKEN[:-1].encode(), 401, "the password is not the token of this service"),
        (b"password=" + TOKEN.encode(), 401, "the password is not the token"),  # + is a blank here
        (b"password=\xff", 401, "the password is not the token"),
        (b"password", 401, "the password is not the token"),
        (b"", 401, "the password is not the token"),
        (b"a=1&" * 9, 422, "there are more than 8 fields"),
        (b"a" * 5000, 413, "the body is longer than 4,096 bytes"),
    ],
)
def test_another_password_is_refused(url, body, status, fact):
    answer = requests.post(f"{url}/auth/token", data=body, headers=FORM, timeout=9)
    assert (answer.status_code, answer.json()["error"].startswith(fact)) == (status, True)
    assert TOKEN not in answer.text


def test_other_types_of_body_are_refused(url):
    answer = requests.post(f"{url}/auth/token", json={"password": TOKEN}, timeout=9)
    assert answer.status_code == 415


def test_without_a_token_no_password_is_right(service):
    answer = requests.post(f"{service.url}/auth/token", data={"password": ""}, timeout=9)
    assert answer.status_code == 401

"""The reader of forms: every cut gives the same parts, and no body does more than be refused."""

from __future__ import annotations

import contextlib
import os
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg.serving.multipart import HEAD_BYTES, PARTS, Multipart
from autoseg.serving.refusal import Refusal

TYPE = "multipart/form-data; boundary=frontier"


def read(
    body: bytes, step: int = 1 << 16, content_type: str = TYPE
) -> list[tuple[str, bool, bytes]]:
    """Return (name, file, content) of each part of `body`, fed in pieces of `step` bytes."""
    reader, parts = Multipart(content_type), []
    for start in range(0, len(body), step):
        for part, piece in reader.feed(body[start : start + step]):
            if piece:
                parts[-1][1].extend(piece)
            else:
                parts.append((part, bytearray()))
    reader.finish()
    return [(part.name, part.file, bytes(content)) for part, content in parts]


def form(*parts: tuple[str, bytes], mark: bytes = b"frontier") -> bytes:
    """Return a body of parts: what follows `form-data` in their heads, and their contents."""
    head = "Content-Disposition: form-data%s\r\nContent-Type: text/plain\r\n\r\n"
    written = [b"--" + mark + b"\r\n" + (head % said).encode() + data for said, data in parts]
    return b"\r\n".join([*written, b"--" + mark + b"--\r\n"])


def test_words_and_files_are_told_apart_by_the_file_name_alone():
    body = form(("; name=params", b"{}"), ('; name="file"; filename=""', b"\0\r\n--front\r\n"))
    assert read(body) == [("params", False, b"{}"), ("file", True, b"\0\r\n--front\r\n")]


@pytest.mark.parametrize(
    "name", ["../../x.nii.gz", "C:\\\\scans\\\\a.nii", "a; name=evil.nii", 'a \\"b\\".nii', "é.nii"]
)
def test_names_of_files_are_not_looked_at(name):
    assert read(form((f'; filename="{name}"; name="file"', b"x"))) == [("file", True, b"x")]


def test_what_comes_after_the_last_boundary_is_ignored():
    assert read(form(("; name=a", b"")) + b"anything\r\n--frontier\r\n") == [("a", False, b"")]


def test_boundaries_may_be_quoted_and_of_strange_signs():
    for mark in ("----------lImIt_of_THE_fIle_eW_$", "a b", "x" * 70, "+(?:=.*"):
        body = form(("; name=a", b"--" + mark[:-1].encode()), mark=mark.encode())
        quoted = f'multipart/form-data; charset=x; boundary="{mark}"'
        assert read(body, 1, quoted) == [("a", False, b"--" + mark[:-1].encode())]
        if " " not in mark:
            assert read(body, 1, f"Multipart/Form-Data;boundary={mark}") == read(body, 7, quoted)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415), ("", 415), ("multipart/mixed; boundary=a", 415),
        ("multipart/form-data", 422), ("multipart/form-data; boundary=", 422),
        ("multipart/form-data; boundary=" + "a" * 71, 422),
        ('multipart/form-data; boundary="a ', 422),
        ("multipart/form-data; boundary=a\r\nb", 422), ("multipart/form-data; xboundary=a", 422),
    ],
)  # fmt: skip
def test_other_types_are_refused(content_type, status):
    with pytest.raises(Refusal) as caught:
        Multipart(content_type)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        (b"", "is cut short"),
        (b"--frontier--", None),
        (b"--frontie", "is cut short"),
        (b"hello", "does not begin with its boundary"),
        (b"\r\n--frontier\r\n", "does not begin with its boundary"),
        (b"--frontierX\r\n", "has something after a boundary"),
        (b"--frontier\r\n\r\nx", "has a part without a Content-Disposition of its own"),
        (b"--frontier\r\n" + b"a" * (HEAD_BYTES + 9), "has a part with a head of more than 8,192"),
        (b"--frontier\r\nA: " + b"a" * HEAD_BYTES + b"\r\n\r\n", "has a part with a head of more"),
        (form(("; name=a", b"x"))[:-10], "is cut short"),
        (form(*[("; name=a", b"")] * (PARTS + 1)), "has more than 16 parts"),
        (form(("", b"x")), "has a part without a name"),
        (form(("; name=a; name=b", b"x")), "has a Content-Disposition that cannot be read"),
        (form(('; name="a', b"x")), "has a Content-Disposition that cannot be read"),
        (form(("; name=a\r\nContent-Disposition: form-data; name=b", b"x")), "of its own"),
        (b"--frontier\r\nContent-Disposition: attachment; name=a\r\n\r\n", "of its own"),
    ],
)
def test_bodies_that_are_no_form_are_refused(body, fact):
    for step in (1, 7, 1 << 16):
        if fact is None:
            assert read(body, step) == []
            continue
        with pytest.raises(Refusal, match=fact) as caught:
            read(body, step)
        assert caught.value.status == 422


CONTENTS = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [b"\r\n--frontier", b"\r", b"\n", b"-", b"\r\n--", b"frontier", b"\r\n\r\n", b"x"]
    )
).map(b"".join).filter(lambda data: b"\r\n--frontier" not in b"\r\n" + data)


@settings(deadline=None, max_examples=300)
@given(st.lists(CONTENTS, max_size=5), st.integers(1, 90))
def test_every_cut_gives_the_same_parts(contents, step):
    body = form(*[(f'; name="{n}"; filename=x', data) for n, data in enumerate(contents)])
    if not contents:
        body = b"--frontier--"
    assert read(body, step) == [(str(n), True, data) for n, data in enumerate(contents)]


LINES = [b"--frontier", b"--", b"\r\n", b"Content-Disposition: form-data", b"; name=a", b'"', b":",
         b"; filename*=", b"\\", b"\0", b"\xff", b"x" * 300, b"form-data;" * 40]  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(LINES) | st.binary(max_size=9)).map(b"".join), st.integers(1, 99))
def test_any_body_is_read_or_refused_and_gives_no_more_than_it_has(noise, step):
    begin = b"--frontier\r\nContent-Disposition: form-data; name=a"
    for body in (noise, begin + noise, begin + b"\r\n\r\n" + noise):
        with contextlib.suppress(Refusal):
            parts = read(body, step)
            assert sum(len(content) for _, _, content in parts) < len(body)


@pytest.mark.parametrize(
    "data",
    [os.urandom(1 << 16), b"\r\n--frontie" * 5900, b"\r" * (1 << 16), b"r" * (1 << 16)],
    ids=["noise", "almost", "returns", "letters"],
)
def test_a_long_file_takes_little_memory_and_time_that_grows_with_it(data):
    reader = Multipart(TYPE)
    list(reader.feed(b"--frontier\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n"))
    tracemalloc.start()
    begin, taken = time.perf_counter(), 0
    for _ in range(1600):  # 100 MiB
        taken += sum(len(piece) for _, piece in reader.feed(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken > 1590 * len(data)
    assert peak < 1 << 20
    assert time.perf_counter() - begin < 20

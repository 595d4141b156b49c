"""Safetensors files that claim what is not so are refused before a tensor is read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoseg.errors import CorruptError
from autoseg.sharing.tensors import check_tensors, read_header, sums
from tests.inference.conftest import make_plan, make_weights

PLAN = make_plan()
SPEC = PLAN.configurations["3d_fullres"].sizes["S"].network


def check(path: Path, spec=SPEC) -> None:
    check_tensors(path, spec, 1, 3)


def crafted(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path


def entry(start: int, stop: int, shape: list[int], kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}


def test_the_weights_of_the_network_pass(tmp_path: Path):
    save_file(make_weights(PLAN, 0), tmp_path / "w")
    check(tmp_path / "w")


CRAFTED = {
    "a header of 100 MB": ({"a": entry(0, 4, [1])}, b"1234", 100 << 20),
    "a header longer than the file": ({"a": entry(0, 4, [1])}, b"1234", 5000),
    "a negative length": (b"{}", b"", 2**64 - 1),
    "no JSON": (b"\x80\x04cposix\nsystem\n", b"", None),
    "a list": ([1, 2], b"", None),
    "overlapping tensors": ({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, b"0" * 12, None),
    "a gap": ({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, b"0" * 12, None),
    "half precision": ({"a": entry(0, 2, [1], "F16")}, b"00", None),
    "a shape that is not the bytes": ({"a": entry(0, 8, [3])}, b"0" * 8, None),
    "a negative shape": ({"a": entry(0, 16, [-2, -2])}, b"0" * 16, None),
    "bytes after the end": ({"a": entry(0, 4, [1])}, b"0" * 9, None),
    "a truncated end": ({"a": entry(0, 400, [100])}, b"0" * 9, None),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, b"1234", None),
    "deep nesting": (b"[" * 100_000, b"", None),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_refused(tmp_path: Path, name: str):
    path = crafted(tmp_path / "w", *CRAFTED[name])
    with pytest.raises(CorruptError):
        read_header(path)


def test_other_tensors_than_the_networks_are_named(tmp_path: Path):
    state = make_weights(PLAN, 0)
    name = next(iter(state))
    for change, words in (
        ({"evil": torch.zeros(1)}, "1 strange tensors, such as 'evil'"),
        ({name: torch.zeros(3)}, rf"'{name}' is \(3,\) instead of"),
    ):
        save_file({**state, **change}, tmp_path / "w")
        with pytest.raises(CorruptError, match=words):
            check(tmp_path / "w")
    del state[name]
    save_file(state, tmp_path / "w")
    with pytest.raises(CorruptError, match="misses 1 tensors"):
        check(tmp_path / "w")


def test_a_plan_of_a_billion_blocks_is_not_built(tmp_path: Path):
    save_file(make_weights(PLAN, 0), tmp_path / "w")
    with pytest.raises(CorruptError, match="for a network of"):
        check(tmp_path / "w", dataclasses.replace(SPEC, encoder_blocks=(1, 10**9, 1)))
    with pytest.raises(CorruptError):
        check(tmp_path / "w", dataclasses.replace(SPEC, features=(10**12, 10**12, 8)))


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(CorruptError, match="missing"):
        check(tmp_path / "nothing")


def test_sums_are_in_double_precision():
    tensor = torch.full((1000, 1000), 0.1)
    total, magnitude = sums({"a": tensor})["a"]
    assert total == magnitude == pytest.approx(float(torch.tensor(0.1).double()) * 1e6, rel=1e-12)

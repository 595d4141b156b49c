"""Records survive JSON; a wrong field is named with its place."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import CorruptError
from autoseg.records import fingerprint_of, from_json, to_json


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


def test_numpy_numbers_become_plain_ones():
    value = {"n": np.int64(3), "x": np.float32(0.5), "list": np.arange(2), "path": Path("a")}
    assert to_json(value) == {"n": 3, "x": 0.5, "list": [0, 1], "path": "a"}


def test_a_record_survives_json():
    assert from_json(Tree, json.loads(json.dumps(to_json(TREE)))) == TREE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nmae": "x"}, "Tree: unknown field 'nmae' -> did you mean 'name'?"),
        ({"name": 3}, "Tree.name: found 3, expected str"),
        ({"height": True}, "Tree.height: found true, expected float"),
        ({"height": float("inf")}, "Tree.height: found Infinity, expected a finite number"),
        ({"height": float("nan")}, "Tree.height: found NaN, expected a finite number"),
        ({"height": 10**400}, "Tree.height: found 10*, expected a finite number"),
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


def test_the_fingerprint_of_a_value_does_not_depend_on_key_order():
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})

"""Tables with what is known of each case."""

import pytest

from autoseg.errors import DataError
from autoseg.importing.facts import other_spacing, read_facts


def test_json_and_csv_say_the_same(tmp_path):
    (tmp_path / "a.json").write_text('[{"id": "s1", "age": "70", "split": "test"}]')
    (tmp_path / "a.csv").write_text("\ufeffid,age,split\ns1,70,test\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("id;age;split\ns1;70;test\n")
    for name in ("a.json", "a.csv", "b.csv"):
        assert read_facts(tmp_path / name, "id") == {"s1": {"age": "70", "split": "test"}}


@pytest.mark.parametrize("text", ['{"s1": {}}', '[{"case": "s1"}]', "[1]"])
def test_records_name_their_case(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="is no list of cases, expected 'id' in each record"):
        read_facts(tmp_path / "a.json", "id")


def test_lengths_of_a_voxel_are_compared_in_any_order():
    fields = ("thickness", "width", "width")
    facts = {"thickness": 4.0, "width": 0.9765625}
    assert other_spacing(facts, fields, (0.9765625, 0.9765625, 4.0)) == ()
    assert other_spacing(facts, fields, (4.0, 0.977, 0.976)) == ()  # within 0.1 %
    assert other_spacing(facts, fields, (4.0, 0.978, 0.9765625)) == (0.9765625, 0.9765625, 4.0)
    for silent in (
        {"thickness": 4.0},
        {"thickness": 3.0, "width": None},
        {"thickness": "3", "width": 1},
    ):
        assert other_spacing(silent, fields, (4.0, 1.0, 1.0)) == ()
    assert other_spacing(facts, (), (1.0, 1.0, 1.0)) == ()

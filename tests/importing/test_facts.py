"""Tables with what is known of each case."""

import pytest

from autoseg.errors import DataError
from autoseg.importing.facts import read_facts


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

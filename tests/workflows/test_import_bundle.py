"""`import --model` of a bundle or a zip: one test for each way in which it may be unsafe."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autoseg.bundle_reader import load_bundle
from autoseg.bundle_writer import save_weights
from autoseg.cli import main
from autoseg.config import TrainConfig
from autoseg.errors import AutosegError, UsageError
from autoseg.files import sha256
from autoseg.plan_file import save_plan
from autoseg.workflows import import_model as module
from autoseg.workflows.export import export
from autoseg.workflows.import_model import import_model
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle, make_plan, make_weights
from tests.sharing.nnunet_folders import make_cascade, make_folder

HOME = "models/TOY/3d_fullres-S/bundle"


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a zip, and what is in it."""
    folder = tmp_path_factory.mktemp("author")
    export(make_bundle(folder / "b", ("0", "1")), folder / "model.zip")
    with zipfile.ZipFile(folder / "model.zip") as archive:
        archive.extractall(folder / "unpacked")
    return folder


@pytest.fixture
def bundle(author: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(author / "unpacked/TOY-3d_fullres-S", tmp_path / "theirs"))


def pack(bundle: Path, target: Path, **extra: bytes) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                archive.write(path, f"m/{path.relative_to(bundle)}")
        for name, content in extra.items():
            archive.writestr(name, content)
    return target


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
            if p.is_file()}  # fmt: skip


def bring(tmp_path: Path, source: Path, **options) -> Path:
    return import_model(Workspace(tmp_path / "ws"), source, **options)


def refused(tmp_path: Path, source: Path, code: int = 7, **options) -> AutosegError:
    """Import, see it fail with this exit code, and see that nothing is left of it."""
    (tmp_path / "ws").mkdir(exist_ok=True)
    before = sorted(p.as_posix() for p in tmp_path.rglob("*"))
    with pytest.raises(AutosegError) as caught:
        bring(tmp_path, source, **options)
    assert caught.value.exit_code == code, caught.value
    assert sorted(p.as_posix() for p in tmp_path.rglob("*")) == before
    return caught.value


def correct(bundle: Path) -> None:
    card = json.loads((bundle / "card.json").read_text())
    card["sha256"] = {name: sha256(bundle / name) for name in card["sha256"]}
    (bundle / "card.json").write_text(json.dumps(card))
    for path in bundle.glob("fold_*/card.json"):
        fold = json.loads(path.read_text())
        fold["sha256"] = sha256(path.parent / "weights.safetensors")
        fold["test_sha256"] = sha256(path.parent / "test.json")
        path.write_text(json.dumps(fold))


# --- what should work ----------------------------------------------------------------------------


def test_a_zip_and_its_folder_take_their_place_as_their_author_saved_them(tmp_path, author, bundle):
    for number, source in enumerate((author / "model.zip", bundle)):
        place = bring(tmp_path / str(number), source)
        assert place == tmp_path / str(number) / "ws" / HOME
        assert files_of(place) == files_of(bundle)
        assert [p.name for p in place.parent.iterdir()] == ["bundle"]
        assert sorted(load_bundle(place).weights) == ["0", "1"]


def test_another_name_other_folds_and_another_place(tmp_path, author):
    place = bring(tmp_path, author / "model.zip", dataset="OTHER", folds=["1"])
    assert place == tmp_path / "ws/models/OTHER/3d_fullres-S/bundle"
    assert list(load_bundle(place).weights) == ["1"]
    assert bring(tmp_path, author / "model.zip", output=tmp_path / "a/b") == tmp_path / "a/b"
    refused(tmp_path, author / "model.zip", 2, dataset="../x")


def test_a_zip_without_a_folder_in_it_and_a_bundle_with_notes_are_taken(tmp_path, bundle):
    (bundle / "notes.txt").write_text("mine")
    place = bring(tmp_path, bundle)
    assert not (place / "notes.txt").exists()
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        for name, content in files_of(place).items():
            archive.writestr(name, content)
    bring(tmp_path, tmp_path / "flat.zip", output=tmp_path / "flat")


def test_a_bundle_of_an_older_version_is_taken(tmp_path):
    bring(tmp_path, make_bundle(tmp_path / "old" / "b", ("0",)))


def test_a_zip_of_nnunets_results_is_converted_and_its_pickles_stay_inside(tmp_path):
    results = make_folder(tmp_path / "r/Dataset004_Toy/T__P__3d_fullres", folds=("0", "1"))
    (results / "crossval_results_folds_0_1").mkdir()
    (results / "crossval_results_folds_0_1/postprocessing.pkl").write_bytes(payload(tmp_path))
    with zipfile.ZipFile(tmp_path / "n.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (tmp_path / "r").rglob("*"):
            archive.write(path, path.relative_to(tmp_path / "r"))
    place = bring(tmp_path, tmp_path / "n.zip")
    assert sorted(load_bundle(place).weights) == ["0", "1"]
    assert not (tmp_path / "pwned").exists()
    assert main(["verify", "-m", str(place)]) == 0
    shutil.copytree(results, results.parent / "T__P__2d")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for path in (tmp_path / "r").rglob("*"):
            archive.write(path, path.relative_to(tmp_path / "r"))
    assert "holds 2 models" in refused(tmp_path, tmp_path / "two.zip", 2).fact


def test_zips_of_cascades_are_converted_with_both_stages(tmp_path):
    folder = make_cascade(tmp_path / "theirs")
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        for path in folder.parent.rglob("*"):
            archive.write(path, f"Dataset004/{path.relative_to(folder.parent)}")
    place = bring(tmp_path, tmp_path / "n.zip", dataset="TOY")
    stages = load_bundle(place).stages
    assert [stage.configuration for stage in stages] == ["3d_lowres", "3d_cascade_fullres"]
    assert main(["verify", "-m", str(place)]) == 0
    export(place, tmp_path / "ours.zip")
    again = bring(tmp_path, tmp_path / "ours.zip", output=tmp_path / "again")
    assert len(load_bundle(again).stages) == 2
    weights = next((again / "previous").glob("fold_*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert main(["verify", "-m", str(again)]) == 7
    export(place, tmp_path / "nested", to="nnunet")
    pack(tmp_path / "nested", tmp_path / "nested.zip")
    nested = bring(tmp_path, tmp_path / "nested.zip", output=tmp_path / "third")
    assert len(load_bundle(nested).stages) == 2


# --- rows 143 to 146: archives -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "/abs", "C:\\x", "a\\..\\x", "m/../../x", "c:x"])
def test_143_names_that_lead_elsewhere(tmp_path, bundle, name):
    refused(tmp_path, pack(bundle, tmp_path / "a.zip", **{name: b"x"}))


def test_144_links_and_devices(tmp_path, bundle):
    path = pack(bundle, tmp_path / "a.zip")
    for kind in (stat.S_IFLNK, stat.S_IFCHR):
        with zipfile.ZipFile(path, "a") as archive:
            link = zipfile.ZipInfo(f"m/fold_9/{kind}")
            link.external_attr = (kind | 0o777) << 16
            archive.writestr(link, b"/etc/passwd")
        refused(tmp_path, path)
    (bundle / "fold_0/weights.safetensors").rename(tmp_path / "away")
    (bundle / "fold_0/weights.safetensors").symlink_to(tmp_path / "away")
    assert refused(tmp_path, bundle).fact == "is a link"


def test_145_bombs(tmp_path, bundle):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/card.json", b" " * 50_000_000)
    refused(tmp_path, tmp_path / "a.zip")
    path = pack(bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(10, 10_011):
            archive.writestr(f"m/fold_{number}/card.json", b"")
    refused(tmp_path, path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_145_duplicate_names(tmp_path, bundle):
    path = pack(bundle, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/plan.json", b"{}")
    refused(tmp_path, path)


@pytest.mark.parametrize("keep", [0, 10, 5000, -100])
def test_146_truncated(tmp_path, author, keep):
    (tmp_path / "a.zip").write_bytes((author / "model.zip").read_bytes()[:keep])
    refused(tmp_path, tmp_path / "a.zip")


def test_146_encrypted(tmp_path, author):
    data = bytearray((author / "model.zip").read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path, tmp_path / "a.zip")


# --- 147, 152: what is there already -------------------------------------------------------------


def test_147_a_model_that_is_there_stays_unless_it_is_given_up(tmp_path, author, bundle):
    place = bring(tmp_path, author / "model.zip")
    other = make_bundle(tmp_path / "other" / "b", ("7",), make_plan(patch=(16, 16, 16)))
    before = files_of(place)
    refused(tmp_path, other, 2)
    weights = bundle / "fold_0/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    refused(tmp_path, bundle, overwrite=True)
    assert files_of(place) == before
    bring(tmp_path, other, overwrite=True)
    assert list(load_bundle(place).weights) == ["7"]
    assert [p.name for p in place.parent.iterdir()] == ["bundle"]


def test_147_a_model_that_was_trained_here_is_not_replaced_even_with_overwrite(tmp_path, author):
    (tmp_path / "ws" / HOME).parent.joinpath("run/fold_0").mkdir(parents=True)
    refused(tmp_path, author / "model.zip", 2, overwrite=True)
    (tmp_path / "mine").mkdir()
    refused(tmp_path, author / "model.zip", 2, overwrite=True, output=tmp_path / "mine")


def test_152_two_that_import_the_same_model_at_once_both_succeed(tmp_path, author, monkeypatch):
    meeting = threading.Barrier(2, timeout=60)
    put = module._put

    def meet(*arguments):
        meeting.wait()
        put(*arguments)

    monkeypatch.setattr(module, "_put", meet)
    errors: list[Exception] = []

    def run() -> None:
        try:
            bring(tmp_path, author / "model.zip")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(load_bundle(tmp_path / "ws" / HOME).weights) == ["0", "1"]
    assert [p.name for p in (tmp_path / "ws").iterdir()] == ["models"]


def test_152_another_model_that_came_first_is_not_replaced(tmp_path, author, monkeypatch):
    put, home = module._put, tmp_path / "ws" / HOME

    def too_late(*arguments):
        make_bundle(home, ("5",))
        put(*arguments)

    monkeypatch.setattr(module, "_put", too_late)
    with pytest.raises(UsageError, match="is there already"):
        bring(tmp_path, author / "model.zip")
    assert list(load_bundle(home).weights) == ["5"]


# --- 148, 153: code ------------------------------------------------------------------------------


class Payload:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place}",)


def payload(tmp_path: Path) -> bytes:
    return pickle.dumps(Payload(tmp_path / "pwned"))


def test_148_pickles_are_never_read(tmp_path, bundle):
    torch.save(Payload(tmp_path / "pwned"), tmp_path / "model.pth")
    (tmp_path / "old.pth").write_bytes(payload(tmp_path))
    sources = [tmp_path / "model.pth", tmp_path / "old.pth"]
    for name in ("m/x.pkl", "m/fold_0/checkpoint.pth"):
        sources.append(pack(bundle, tmp_path / f"{len(sources)}.zip", **{name: payload(tmp_path)}))
    for source in sources:
        refused(tmp_path, source)
    weights = bundle / "fold_0/weights.safetensors"
    weights.write_bytes(payload(tmp_path))
    correct(bundle)
    refused(tmp_path, bundle)
    assert not (tmp_path / "pwned").exists()


def test_148_a_malicious_checkpoint_in_a_zip_of_nnunet_is_refused(tmp_path):
    results = make_folder(tmp_path / "T__P__3d_fullres")
    torch.save(Payload(tmp_path / "pwned"), results / "fold_0/checkpoint_final.pth")
    pack(results, tmp_path / "n.zip")
    shutil.rmtree(results)
    assert "object of the kind" in refused(tmp_path, tmp_path / "n.zip").fact
    assert not (tmp_path / "pwned").exists()


def test_153_code_of_the_author_is_neither_taken_nor_named(tmp_path, bundle):
    refused(tmp_path, pack(bundle, tmp_path / "a.zip", **{"m/trainer.py": b"import os"}))
    plan = make_plan()
    settings = dataclasses.replace(plan.configurations["3d_fullres"], normalizers=("os:abort",))
    plan = dataclasses.replace(plan, configurations={"3d_fullres": settings})
    foreign = tmp_path / "foreign"
    save_weights(foreign, "0", make_weights(plan, 0), plan, "3d_fullres", "S", TrainConfig(), {})
    assert "asks to import 'os:abort'" in refused(tmp_path, foreign).fact


# --- 149, 150: contents --------------------------------------------------------------------------


def header_of_100_mb(path: Path) -> None:
    path.write_bytes((100 << 20).to_bytes(8, "little") + path.read_bytes()[8:])


def overlapping(path: Path) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    names = [name for name in table if name != "__metadata__"]
    table[names[1]]["data_offsets"] = table[names[0]]["data_offsets"]
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def half_precision(path: Path) -> None:
    save_file({name: t.half() for name, t in load_file(path).items()}, path)


def not_a_number(path: Path) -> None:
    state = load_file(path)
    next(iter(state.values())).view(-1)[0] = float("nan")
    save_file(state, path)


def fewer(path: Path) -> None:
    state = load_file(path)
    state.popitem()
    save_file(state, path)


def more(path: Path) -> None:
    save_file({**load_file(path), "evil": torch.zeros(3)}, path)


def other_shape(path: Path) -> None:
    state = load_file(path)
    name = next(iter(state))
    save_file({**state, name: torch.zeros(2, 2)}, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def other_values(path: Path) -> None:
    save_file({name: t * 1.01 for name, t in load_file(path).items()}, path)


CRAFTED = (header_of_100_mb, overlapping, half_precision, not_a_number, fewer, more, other_shape,
           cut, other_values)  # fmt: skip


@pytest.mark.parametrize("craft", CRAFTED)
def test_149_crafted_weights_with_the_right_hash(tmp_path, bundle, craft):
    craft(bundle / "fold_1/weights.safetensors")
    correct(bundle)
    error = refused(tmp_path, pack(bundle, tmp_path / "a.zip"))
    assert error.place == str(tmp_path / "a.zip")


def test_what_is_wrong_in_a_zip_is_told_of_the_zip_not_of_a_folder_that_is_gone(tmp_path, bundle):
    (bundle / "fold_0/test.json").unlink()
    source = pack(bundle, tmp_path / "a.zip")
    error = refused(tmp_path, source)
    assert error.place == str(source)
    assert "fold 0: fold_0/test.json: is missing" in str(error)
    (bundle / "train.json").write_text("[]")
    error = refused(tmp_path, source := pack(bundle, tmp_path / "b.zip"))
    assert error.place == f"{source}/train.json"


@pytest.mark.parametrize(
    "name",
    ["plan.json", "train.json", "MODEL_CARD.md", "fold_0/weights.safetensors", "fold_1/test.json"],
)
def test_150_one_flipped_byte(tmp_path, bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    refused(tmp_path, pack(bundle, tmp_path / "a.zip"))


@pytest.mark.parametrize("name", ["plan.json", "fold_0/weights.safetensors", "fold_0/test.json"])
def test_150_a_missing_file(tmp_path, bundle, name):
    (bundle / name).unlink()
    refused(tmp_path, pack(bundle, tmp_path / "a.zip"))


@pytest.mark.parametrize("change", [{"dataset": "../../x"}, {"dataset": ""}, {"dataset": "a/b"}])
def test_a_name_that_would_leave_the_workspace_is_refused(tmp_path, bundle, change):
    plan = dataclasses.replace(load_bundle(bundle).plan, **change)
    save_plan(bundle / "plan.json", plan)
    correct(bundle)
    assert "is no name" in refused(tmp_path, bundle).fact


@pytest.mark.parametrize(
    ("file", "change"),
    [("fold_0/test.json", {"shape": [10**6, 10**6, 10**6]}), ("fold_0/test.json", {"step": 1e-9}),
     ("fold_0/test.json", {"tile": [4096, 4096, 4096]}), ("fold_0/test.json", {"channels": []}),
     ("fold_0/test.json", {"spacing": [1e9, 1e9, 1e9]})],
)  # fmt: skip
def test_a_test_case_that_would_fill_the_memory_is_refused(tmp_path, bundle, file, change):
    record = json.loads((bundle / file).read_text())
    record["trial"] |= change
    (bundle / file).write_text(json.dumps(record))
    correct(bundle)
    refused(tmp_path, bundle)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{", "[]", '{"format": "autoseg-bundle-9"}', "\xff"]
)
def test_a_card_that_is_none_is_refused(tmp_path, bundle, text):
    (bundle / "card.json").write_bytes(text.encode("latin-1"))
    refused(tmp_path, pack(bundle, tmp_path / "a.zip"))


# --- 151, 154, and the command -------------------------------------------------------------------


def test_151_there_is_no_download(tmp_path):
    error = refused(tmp_path, Path("https://example.org/model.zip"), 2)
    assert "downloads nothing" in error.fact


def test_154_nothing_private_leaves_with_a_model(tmp_path):
    place = tmp_path / "PATIENT_SMITH" / "secret_user" / "models/TOY/3d_fullres-S/bundle"
    bundle = make_bundle(place, ("0",))
    (bundle / "log.txt").write_text("PATIENT_SMITH")
    export(bundle, tmp_path / "m.zip")
    content = (tmp_path / "m.zip").read_bytes()  # stored, so that every word can be found
    for word in (b"PATIENT_SMITH", b"secret_user", str(tmp_path).encode(), b"log.txt"):
        assert word not in content
    assert b"weights.safetensors" in content
    export(bundle, tmp_path / "n.zip")
    assert (tmp_path / "n.zip").read_bytes() == content


def test_what_is_no_model_exits_2(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("thesis.txt", b"years")
    assert "holds no model" in refused(tmp_path, tmp_path / "a.zip", 2).fact
    refused(tmp_path, tmp_path / "nothing.zip", 2)


def test_the_command_says_how_to_predict_and_what_was_wrong(tmp_path, author, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["import", "--model", str(author / "model.zip")]) == 0
    assert f"next: autoseg_predict -m {HOME} -i IMAGES" in capsys.readouterr().out
    assert main(["import", "--model", str(author / "model.zip")]) == 2
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert main(["import", "--model", "a.zip"]) == 7
    assert "autoseg: error: a.zip: is not a zip file" in capsys.readouterr().err


def test_a_killed_import_is_swept_up_by_the_next(tmp_path, author):
    program = (
        "import os, sys; from pathlib import Path; from autoseg.workflows import import_model as m;"
        "m.verify = lambda *a: os._exit(9);"
        "from autoseg.workspace import Workspace;"
        "m.import_model(Workspace(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    (tmp_path / "ws").mkdir()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "ws"), str(author / "model.zip")], cwd=root
    )
    assert done.returncode == 9
    assert len(list((tmp_path / "ws").iterdir())) == 1
    bring(tmp_path, author / "model.zip")
    assert [p.name for p in (tmp_path / "ws").iterdir()] == ["models"]


def test_an_imported_model_predicts_as_its_authors(tmp_path, author):
    from autoseg.inference.predictor import Predictor

    array = np.random.default_rng(0).normal(size=(18, 25, 17)).astype(np.float32)
    theirs = Predictor(author / "b", "cpu")(array, (1, 1, 1))
    ours = Predictor(bring(tmp_path, author / "model.zip"), "cpu")(array, (1, 1, 1))
    assert np.array_equal(theirs, ours)

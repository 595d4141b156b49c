"""What is prepared is known, and for what plan and from what files."""

import dataclasses
import os

import pytest

from autoseg.errors import DataError
from autoseg.preprocessing.manifest import (
    home_of,
    is_complete,
    is_prepared,
    read_manifest,
    recipe_of,
    write_manifest,
)


def test_a_case_is_prepared_until_its_files_or_its_plan_change(stored):
    folder, case, _, _, _, plan, configuration = stored
    recipe = recipe_of(plan, configuration)
    assert is_prepared(folder, case, recipe)
    assert not is_prepared(folder, dataclasses.replace(case, id="other"), recipe)
    assert not is_prepared(folder, dataclasses.replace(case, tags=()), recipe)
    finer = dataclasses.replace(configuration, spacing=(1.0, 1.0, 1.0))
    assert not is_prepared(folder, case, recipe_of(plan, finer))
    os.utime(case.images[0], ns=(1, 1))
    assert not is_prepared(folder, case, recipe)


def test_patch_and_batch_size_do_not_make_prepared_data_old(stored):
    _, _, _, _, _, plan, configuration = stored
    other = dataclasses.replace(configuration, batch_dice=True, median_shape=(9, 9, 9))
    assert recipe_of(plan, configuration) == recipe_of(plan, other)
    assert recipe_of(plan, configuration) != recipe_of(
        dataclasses.replace(plan, axis_order=(1, 0, 2)), configuration
    )


def test_a_file_cut_short_or_without_sidecar_is_not_prepared(stored):
    folder, case, _, _, _, plan, configuration = stored
    recipe = recipe_of(plan, configuration)
    path, sidecar = folder / "patient.01.npz", folder / "patient.01.json"
    kept = sidecar.read_bytes()
    sidecar.unlink()
    assert not is_prepared(folder, case, recipe)
    sidecar.write_bytes(kept[: len(kept) // 2])
    assert not is_prepared(folder, case, recipe)
    sidecar.write_bytes(kept)
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_prepared(folder, case, recipe)


def test_the_manifest_makes_a_folder_complete(stored):
    folder, case, _, _, _, plan, configuration = stored
    recipe = recipe_of(plan, configuration)
    with pytest.raises(DataError, match="not prepared, or not to the end"):
        read_manifest(folder)
    assert not is_complete(folder, [case], recipe)
    write_manifest(folder, [case.id], recipe)
    size = (folder / "patient.01.npz").stat().st_size
    assert read_manifest(folder).cases == {"patient.01": size}
    assert is_complete(folder, [case], recipe)
    assert not is_complete(folder, [case, dataclasses.replace(case, id="new")], recipe)
    assert not is_complete(folder, [case], "another recipe")


def test_a_cascade_shares_the_arrays_that_are_prepared_alike(stored):
    *_, plan, configuration = stored
    cascade = dataclasses.replace(configuration, name="second", previous=configuration.name)
    both = {configuration.name: configuration, "second": cascade}
    plan = dataclasses.replace(plan, configurations=both)
    assert home_of(plan, configuration) == configuration.name
    assert home_of(plan, cascade) == configuration.name
    finer = dataclasses.replace(cascade, spacing=(0.5, 0.5, 0.5))
    plan = dataclasses.replace(plan, configurations={**both, "second": finer})
    assert home_of(plan, finer) == "second"

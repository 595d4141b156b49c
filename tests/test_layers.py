"""Imports go down: the floors of the package, the homes of its libraries, and the fast start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "autoseg"
FLOORS = {
    0: "architectures network_options image labels case_files dataset dataset_json"
    " declared_labels plan plan_file fingerprint_file card config presets results workspace"
    " files records locks errors registry rules stopping progress terminal dicom_files"
    " members usual colours label_table",
    1: "io itk nifti nifti_header palette grey_alpha pictures sniff tiff relay outcomes"
    " executors parallel overlapping hardware device networks dicom dicom_slices pipes"
    " probabilities children",
    2: "preprocessing postprocess masks bundle bundle_reader bundle_writer card_text phantom"
    " contours",
    3: "importing planning training inference evaluation report sharing",
    4: "workflows",
    5: "serving demo",
    6: "commands",
    7: "cli",
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
# Only these, and commands/, import inside functions; elsewhere a cycle shall show. Predicting
# loads torch after folders and settings have been found right; evaluating does when two models
# were trained whose scores can be averaged.
LAZY = {"autoseg", "autoseg.workflows.predict_run", "autoseg.workflows.crossvalidate"}
HOMES = {  # library: the only places that may import it
    "SimpleITK": ("itk",),
    # In workflows/ for train and predict only: the next tests say so.
    "torch": (
        "networks",
        "training",
        "inference",
        "device",
        "sharing",
        "workflows",
    ),
    "batchgenerators": (),  # its transforms plug in by name
    "acvl_utils": (),
    "optuna": ("training",),
    "safetensors": ("bundle_reader", "bundle_writer", "training"),
    "matplotlib": ("report",),
    "PIL": ("report.legend", "report.slices"),
    "plotly": ("report.mesh_figure",),
    "skimage": ("report.surface", "evaluation.topology"),
    "monai": ("networks",),
    "pydicom": ("importing", "sharing"),
    "highdicom": ("sharing",),
    "fastapi": ("serving",),
    "starlette": ("serving",),
    "h11": ("serving",),
    "tqdm": (),  # one live line of our own, in progress
    "nnunetv2": (),
    "pickle": ("importing.spacings",),  # an unpickler that builds plain numbers only
}
WITHOUT_TORCH = (
    "ensemble", "plan", "check", "import_data", "evaluate", "compare", "statistics",
    "export_slices", "export_volumes", "export_masks", "report", "view_case",
)  # fmt: skip


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def room(module):
    """The first name below the package: "planning" for autoseg.planning.folds."""
    return [*module.split("."), ""][1]


def is_type_checking(node):
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def imports_of(node, inside_function=False):
    """Yield (module, inside a function?) for each import that is executed, below `node`."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside_function) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                yield (whole if whole in MODULES else child.module), inside_function
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(child, inside_function or function)


IMPORTS = {module: list(imports_of(tree)) for module, tree in MODULES.items()}
OURS = {
    module: [(name, lazily) for name, lazily in found if name.split(".")[0] == "autoseg"]
    for module, found in IMPORTS.items()
}


def test_every_module_stands_on_a_floor():
    assert {room(module) for module in MODULES if room(module)} <= set(FLOOR_OF)


def test_the_readme_shows_every_file_and_folder_of_the_package():
    shown = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {name for name in files | folders if name not in shown} == set()


def may_import(source, target):
    if room(target) == "" or room(source) == "":
        return True  # the package itself holds the version, and imports when asked
    ours, theirs = FLOOR_OF[room(source)], FLOOR_OF[room(target)]
    # Files in the top folder are one room per floor; a folder is a room of its own.
    folders = {room(module) for module in MODULES if module.count(".") > 1}
    same_room = room(source) == room(target) or not {room(source), room(target)} & folders
    return theirs < ours or (theirs == ours and same_room)


def test_imports_only_go_down_and_siblings_do_not_meet():
    wrong = [
        f"{source} -> {target}"
        for source, targets in OURS.items()
        for target, _ in targets
        if not may_import(source, target)
    ]
    assert wrong == []


def test_our_own_modules_are_imported_at_the_top_of_a_file():
    wrong = [
        f"{source} -> {target}"
        for source, targets in OURS.items()
        for target, lazily in targets
        if lazily and source not in LAZY and room(source) != "commands"
    ]
    assert wrong == []


@pytest.mark.parametrize("library", HOMES)
def test_a_library_stays_at_home(library):
    users = {
        module
        for module, found in IMPORTS.items()
        if any(name.split(".")[0] == library for name, _ in found)
    }
    homes = {f"autoseg.{home}" for home in HOMES[library]}
    lived_in = {home for home in homes for user in users if f"{user}.".startswith(f"{home}.")}
    strangers = {m for m in users if not any(f"{m}.".startswith(f"{h}.") for h in homes)}
    assert (strangers, lived_in) == (set(), homes)


@pytest.mark.parametrize("verb", WITHOUT_TORCH)
def test_torch_cannot_be_reached_from_the_verbs_that_do_not_need_it(verb):
    reached, waiting = set(), [f"autoseg.workflows.{verb}"]
    while waiting:
        module = waiting.pop()
        if module in reached or module not in MODULES:
            continue
        reached.add(module)
        waiting += [name for name, lazily in OURS[module] if name != "autoseg" and not lazily]
        waiting.append(module.rpartition(".")[0])  # its package's __init__
    reached -= {"autoseg"}
    wrong = {m for m in reached if any(name.split(".")[0] == "torch" for name, _ in IMPORTS[m])}
    assert wrong == set()


def loaded_after(statement):
    code = f"{statement}; import sys; print(*sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_the_command_line_loads_no_array_library():
    assert not {"numpy", "torch", "SimpleITK", "scipy"} & loaded_after("import autoseg.cli")


def test_verbs_without_a_network_load_no_torch():
    # What a dependency imports counts too: the graph above cannot see it.
    statement = "; ".join(f"import autoseg.workflows.{verb}" for verb in WITHOUT_TORCH)
    assert not {"torch", "SimpleITK", "matplotlib"} & loaded_after(statement)


def calls_and_handlers(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "getcwd"):
            yield node.attr
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield "bare except"


@pytest.mark.parametrize(
    ("habit", "allowed"),
    [
        ("print", {"autoseg.cli"}),
        ("eval", set()),
        ("exec", set()),
        ("environ", {"autoseg.training.launch", "autoseg.terminal"}),  # TERM: what a terminal can
        ("getenv", set()),
        ("getcwd", set()),
        ("bare except", set()),
    ],
)
def test_a_habit_that_hides_things_is_not_taken_up(habit, allowed):
    users = {module for module, tree in MODULES.items() if habit in calls_and_handlers(tree)}
    assert users <= allowed

"""What the user types, sees and gets back: help in no time, one-line errors, exit codes."""

import ast
import errno
import hashlib
import logging
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg import cli, commands, errors
from autoseg.cli import main
from autoseg.commands import COMMANDS
from autoseg.errors import DataError, Problem

FAST_S = 0.5
ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "autoseg": main,
    "autoseg_plan": cli.main_plan,
    "autoseg_train": cli.main_train,
    "autoseg_predict": cli.main_predict,
    "autoseg_evaluate": cli.main_evaluate,
}


@pytest.fixture
def verb(monkeypatch):
    """Return a function that puts another deed in the place of `autoseg check`."""

    def replace(deed):
        command = commands.Command("", commands.check.add_options, lambda options: deed())
        monkeypatch.setitem(COMMANDS, "check", command)

    return replace


def raiser(error):
    def deed():
        raise error

    return deed


def last_line(text):
    return text.rstrip("\n").split("\n")[-1]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_every_command_comes_at_once(command):
    words = [sys.executable, "-m", "autoseg.cli", *command.split(), "-h"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Seconds of work, not of waiting for a busy machine.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < FAST_S
    assert answer.stdout.startswith("usage: ")
    assert answer.stderr == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_of_setup_py_exists(program, capsys):
    assert PROGRAMS[program](["-h"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {program} ")
    assert f'"{program} = autoseg.cli:{PROGRAMS[program].__name__}"' in (
        ROOT / "setup.py"
    ).read_text(encoding="utf-8")


def test_the_overview_lists_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in COMMANDS)


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"autoseg \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian' -> did you mean 'train'?"),
        (["train", "2d", "0", "--bugdet", "3m"], "unknown argument '--bugdet' -> did you mean '--"),
        (["train", "2d"], "the following arguments are required: FOLD -> see autoseg train -h"),
        (["train", "2d", "0", "1"], "unknown argument '1' -> see autoseg train -h"),
        (["train", "2d", "0", "--print"], "--print without --slurm -> add --slurm FIELD=VALUE"),
        (["train", "2d", "0", "--dry-run", "--slurm"], "--dry-run and --slurm, expected one of th"),
        (["train", "2d", "0", "--dry-run", "--validate"], "--dry-run and --validate, expected one"),
        (["train", "2d", "0", "--seed", "x"], "argument --seed: invalid int value: 'x' -> see"),
        (["predict", "-i", "x", "-o", "y", "--speed", "warp"], "argument --speed: invalid choice"),
        (["evaluate", "--nsd-tolerance", "3"], "--nsd-tolerance without folders, expected -p FOL"),
        (
            ["evaluate", "-p", "x", "-g", "y", "--nsd-tolerance", "liver"],
            "--nsd-tolerance liver, expected millimetres, such as 3 or liver=3 spleen=2",
        ),
        (["import", "A", "-d", "X"], "A without --merge"),
        (["import", "--merge", "A", "B"], "--merge without -d, expected the name of the new data"),
        (
            ["import", "--merge", "A", "B", "-d", "X", "--classes", "a", "--src", "y"],
            "--src --classes with --merge, expected -d and --label-map, --absent-means",
        ),
        (["import"], "the following arguments are required: -d/--dataset, --images"),
    ],
)
def test_a_command_that_cannot_be_meant_exits_2_with_one_line(words, message, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"autoseg: error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan"], "raw: there is no dataset -> put one there, or autoseg import"),
        (["check", "-d", "X"], "raw: unknown dataset 'X' -> put one there, or autoseg import"),
        (["train", "2d", "0"], "prepared: there is no dataset -> run autoseg_plan -d NAME first"),
        (["train", "2d", "0", "-d", "X"], "prepared: unknown dataset 'X' -> run autoseg_plan -d"),
        (["evaluate"], "there is no dataset"),
    ],
)
def test_a_missing_dataset_exits_2_and_says_what_to_run(words, message, tmp_path, capsys):
    assert main([*words, "-w", str(tmp_path)]) == 2
    line = last_line(capsys.readouterr().err)
    assert line.startswith("autoseg: error: ")
    assert message in line


def test_files_are_compared_with_their_sums(tmp_path, capsys):
    for name in ("a.zip", "b.zip"):
        (tmp_path / name).write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    listed = tmp_path / "x.sha256"
    listed.write_text(f"{digest}  a.zip\n{digest} *b.zip\n")
    assert main(["check", "--manifest", str(listed)]) == 0
    assert capsys.readouterr().out == "a.zip: OK\nb.zip: OK\n2 files as listed\n"
    (tmp_path / "b.zip").write_bytes(b"y")
    assert main(["check", "--manifest", str(listed)]) == 3
    err = capsys.readouterr().err
    assert "b.zip: is not as listed" in err
    assert "a.zip: OK" in err
    assert "1 of 2 files are not as x.sha256 says" in last_line(err)


def test_a_mistake_is_answered_before_torch_is_loaded(tmp_path):
    code = (
        "import sys; from autoseg.cli import main\n"
        f"code = main(['train', '2d', '0', '-w', {str(tmp_path)!r}])\n"
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT).returncode == 2
    )


def test_an_unknown_fold_is_answered_before_torch_is_loaded(tmp_path):
    code = (
        "import sys; from pathlib import Path; from autoseg.cli import main\n"
        "from tests.synthetic import make_workspace\n"
        f"make_workspace(Path({str(tmp_path)!r}), cases=2)\n"
        f"words = ['-w', {str(tmp_path)!r}]\n"
        "assert main(['plan', '--no-prepare', *words]) == 0\n"
        "code = main(['train', '3d_fullres', '7', *words])\n"
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert answer.returncode == 2
    assert "there is no fold '7', expected one of 0, 1, all, full" in last_line(answer.stderr)


@pytest.mark.parametrize(
    "kind", [k for k in vars(errors).values() if isinstance(k, type) and hasattr(k, "exit_code")]
)
def test_what_the_user_can_mend_is_a_message_without_traceback(kind, verb, capsys):
    verb(raiser(kind("the fact", place="the place", remedy="the remedy")))
    assert main(["check"]) == kind.exit_code
    assert capsys.readouterr().err == "autoseg: error: the place: the fact -> the remedy\n"


def test_problems_are_listed_before_the_last_line(verb, capsys):
    verb(raiser(DataError("1 problem", problems=[Problem("a.nii.gz", "is truncated")])))
    assert main(["check"]) == 3
    assert capsys.readouterr().err == "a.nii.gz: is truncated\nautoseg: error: 1 problem\n"


def test_debug_shows_where_an_error_comes_from(verb, capsys):
    verb(raiser(DataError("the fact")))
    assert main(["check", "--debug"]) == 3
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert last_line(text) == "autoseg: error: the fact"


def test_a_mistake_of_ours_keeps_its_traceback_and_exits_1(verb, capsys):
    verb(raiser(ZeroDivisionError("surprise")))
    assert main(["check"]) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "ZeroDivisionError: surprise" in text
    assert last_line(text).startswith("autoseg: error: internal error: ZeroDivisionError -> ")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device -> free some"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: permission denied -> "),
        (MemoryError(), "out of memory -> "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory -> "),
    ],
)
def test_what_the_system_refuses_exits_4(error, words, verb, capsys):
    verb(raiser(error))
    assert main(["check"]) == 4
    assert capsys.readouterr().err.startswith(f"autoseg: error: {words}")


def test_an_interruption_exits_130_without_traceback(verb, capsys):
    verb(raiser(KeyboardInterrupt()))
    assert main(["check"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_sigterm_while_nothing_looks_for_it_exits_75_at_once():
    code = (
        "import sys, time; from autoseg import cli, commands\n"
        "def deed(options): print('begun', flush=True); time.sleep(60)\n"
        "commands.COMMANDS['check'] = commands.Command('', commands.check.add_options, deed)\n"
        "sys.exit(cli.main(['check']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        process.terminate()
        _, told = process.communicate(timeout=30)
    assert process.returncode == 75
    assert told.startswith(b"autoseg: error: stopped by SIGTERM -> run the same command again")


def test_sigterm_means_what_it_meant_before_once_a_command_is_done(verb):
    before = signal.getsignal(signal.SIGTERM)
    verb(lambda: "the table")
    assert main(["check"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_has_seen_enough_is_no_error():
    code = (
        "import sys; from autoseg import cli, commands\n"
        "commands.COMMANDS['check'] = commands.Command(\n"
        "    '', commands.check.add_options, lambda options: 'line\\n' * 100_000)\n"
        "sys.exit(cli.main(['check']))"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    answer = subprocess.run(
        [sys.executable, "-c", code], stdout=write_end, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    os.close(write_end)
    assert answer.returncode == 141
    assert answer.stderr == ""


def test_results_go_to_stdout_and_progress_to_stderr(verb, capsys):
    def deed():
        logging.getLogger("autoseg.somewhere").info("half done")
        logging.getLogger("autoseg.somewhere").debug("a detail")
        return "the table"

    verb(deed)
    assert main(["check"]) == 0
    assert capsys.readouterr() == ("the table\n", "half done\n")


def test_the_exit_codes_in_the_documentation_are_those_of_the_errors():
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and hasattr(k, "exit_code")]
    ours = {kind.exit_code for kind in kinds}
    assert documented == ours | {0, cli.INTERNAL_ERROR, cli.INTERRUPTED, cli.BROKEN_PIPE}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_documentation(name):
    text = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    parser = cli._make_parser(name, name)
    options = {option for action in parser._actions for option in action.option_strings}
    missing = {o for o in options - {"-h", "--help"} if o.startswith("--") and f"`{o}" not in text}
    assert missing == set()


def test_every_option_that_a_message_advises_exists():
    known = {
        option
        for name in COMMANDS
        for action in cli._make_parser(name, name)._actions
        for option in action.option_strings
    } | {"--version"}
    advised = {
        (option, path.name)
        for path in (ROOT / "autoseg").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value)
    }
    unknown = {(option, file) for option, file in advised if option not in known}
    assert unknown - {("--query-gpu", "hardware.py"), ("--format", "hardware.py")} == set()


def test_every_page_of_the_documentation_is_in_its_index():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(([a-z_-]+\.md)\)", index)) == pages

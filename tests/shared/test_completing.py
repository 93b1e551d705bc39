"""Completion as shells ask for it: by the protocol, and in a real bash with the script that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedshow.commands.completing import METHODS, words
from tests.conftest import Call
from tests.shared.test_program import commands, find

PROGRAM = Path(sys.executable).with_name("fedshow")
VARIABLE = "_FEDSHOW_COMPLETE"
needs_program = pytest.mark.skipif(not PROGRAM.exists(), reason="fedshow is not on a path here")


@pytest.fixture
def bash(call: Call, monkeypatch: pytest.MonkeyPatch):
    """What bash is told for a line that ends where the cursor is."""

    def complete(line: str) -> list[str]:
        typed = line.split(" ")
        monkeypatch.setenv(VARIABLE, "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(typed) - 1))
        code, out, err = call()
        monkeypatch.delenv(VARIABLE)
        assert (code, err) == (0, "")
        return out.split()

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("fedshow cl", ["client"]),
        ("fedshow client wi", ["withdraw"]),
        ("fedshow tune --method ", [*METHODS]),
        ("fedshow tune --method cu", ["custom-diffusion"]),
        ("fedshow client add x --method p", ["p-plus"]),
        ("fedshow fuse --method s", ["sum", "subspace"]),
        ("fedshow sample --device c", ["cpu", "cuda"]),
        ("fedshow sample --overlap ", ["average", "priority"]),
        ("fedshow tune x --base t", ["toyworld"]),
        ("fedshow export x --to k", ["kohya"]),
        ("fedshow pull home --format ", ["diffusers", "lora", "single-file"]),
        ("fedshow client run --keep-release l", ["lora"]),
        ("fedshow server invite x --role d", ["downloader"]),
        ("fedshow server run --log-format ", ["text", "json"]),
        ("fedshow doctor --ser", ["--server"]),
    ],
)
def test_words_that_are_known_complete(bash, line: str, offered: list[str]) -> None:
    assert bash(line) == offered


def test_names_of_joined_servers_complete(bash, home: Path) -> None:
    for name in ("art", "arena", "home"):
        (home / "servers" / name).mkdir(parents=True)
        (home / "servers" / name / "server.json").touch()
    assert bash("fedshow pull ar") == ["arena", "art"]
    assert bash("fedshow doctor --server h") == ["home"]
    assert bash("fedshow server nodes --server x") == []
    assert bash("fedshow client withdraw --server ") == ["arena", "art", "home"]


def test_names_of_concepts_here_complete(bash, home: Path) -> None:
    import sqlite3

    assert bash("fedshow client withdraw ") == []
    home.mkdir()
    with sqlite3.connect(home / "client.db") as database:
        database.execute("CREATE TABLE jobs (name TEXT)")
        database.executemany("INSERT INTO jobs VALUES (?)", [("mimi",), ("mop",), ("rex",)] * 2)
    database.close()
    assert bash("fedshow client withdraw m") == ["mimi", "mop"]
    for command in ("pause", "resume", "retry", "priority", "visible"):
        assert bash(f"fedshow client {command} r") == ["rex"]


@pytest.mark.parametrize("shell", ["complete_bash", "complete_zsh", "complete_fish"])
@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_option_completes_in_every_shell(call: Call, monkeypatch, shell, path) -> None:
    line = f"fedshow {' '.join(path)} --"
    monkeypatch.setenv(VARIABLE, shell)
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(path) + 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    code, out, err = call()
    assert (code, err) == (0, "")
    for parameter in find(path).params:
        longest = max(parameter.opts, key=len)
        assert not longest.startswith("--") or longest in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@needs_program
def test_the_script_of_each_shell_is_shown(shell: str, tmp_path: Path) -> None:
    """It asks which shell it runs in, so that its parent has to be one, in name at least."""
    disguise = tmp_path / shell
    shutil.copy("/bin/bash", disguise)
    done = subprocess.run(
        [disguise, "-c", f"{PROGRAM} --show-completion; true"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert f"{VARIABLE}=complete_{shell}" in done.stdout


@needs_program
def test_bash_completes_once_it_is_installed(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "FEDSHOW_HOME": str(tmp_path / "home")}
    environment["PATH"] = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    (tmp_path / ".bashrc").touch()
    script = (
        "fedshow --install-completion >/dev/null; source ~/.bashrc; "
        "COMP_WORDS=(fedshow tune --method t); COMP_CWORD=3; "
        "_fedshow_completion fedshow; echo ${COMPREPLY[@]}; complete -p fedshow"
    )
    done = subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    answer, how = done.stdout.splitlines()
    assert answer == "textual-inversion"
    assert "-o default" in how  # files, where nothing is offered


def test_the_methods_offered_are_those_there_are() -> None:
    from fedshow.edlora.methods import METHODS as KNOWN

    assert tuple(KNOWN) == METHODS
    assert list(words(*METHODS)("")) == [*METHODS]


def test_what_has_a_few_known_values_completes() -> None:
    """Devices, methods, bases and servers, wherever they are asked for."""
    wanted = ("device", "method", "base", "server")
    folders = [("client", "join")]  # its base is one, which shells complete by themselves
    for path in commands():
        for parameter in find(path).params:
            if parameter.name in wanted and path not in folders:
                completes = parameter._custom_shell_complete is not None
                assert completes, f"{' '.join(path)}: {parameter.name} does not complete"

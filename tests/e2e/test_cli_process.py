"""The command as a process: signals, the lock, the port, the streams."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e.conftest import NewNode
from e2e.node_process import (
    ADDRESS,
    LAUNCH,
    STOP_SECONDS,
    NodeDied,
    NodeProcess,
    RpcFailed,
    environment,
    ioex,
)

pytestmark = pytest.mark.e2e


def test_both_signals_stop_within_five_seconds(node: NodeProcess) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with node.running():
            node.rpc("generatetoaddress", 2, ADDRESS)
            code, took = node.stop(number)
        assert code == 0, node.stderr
        assert took <= STOP_SECONDS
        assert not node.datadir.cookie.exists()
        assert "Traceback" not in node.stderr
    with node.running():
        assert node.rpc("getblockcount") == 4
        assert node.cli("stop").code == 0
        assert node.wait() == 0


def test_a_second_signal_forces(new_node: NewNode) -> None:
    script = str(Path(__file__).with_name("slow_stop_node.py"))
    node = new_node(launch=(sys.executable, script))
    with node.running():
        node.rpc("generatetoaddress", 2, ADDRESS)
        assert node.process is not None
        node.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in node.stderr)
        code, took = node.stop(signal.SIGINT)
    assert code == 128 + signal.SIGINT
    assert took <= STOP_SECONDS
    assert "forced" in node.stderr
    node.launch = LAUNCH
    with node.running():
        assert node.rpc("getblockcount") == 2


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_folder_and_a_port_belong_to_one_node(node: NodeProcess, new_node: NewNode) -> None:
    with node.running():
        owner = node.process.pid  # type: ignore[union-attr]
        second = ioex("node", *node.place)
        assert (second.code, second.out, second.err.count("\n")) == (1, "", 1), second
        assert f"process {owner}" in second.err
        assert str(node.datadir.path) in second.err
        for words in (("db", "check"), ("export", str(node.base / "blocks.dat"))):
            refused = node.cli(*words)
            assert (refused.code, refused.err.count("\n")) == (1, 1), refused
        assert node.rpc("getblockcount") == 0, "the first one is not disturbed"
        other = new_node("b")
        taken = ioex("node", *other.place, "--rpc-port", str(node.port), "--p2p-port", "0")
        assert taken.code == 1
        assert f"cannot listen on 127.0.0.1:{node.port}" in taken.err
        assert "Traceback" not in taken.err


def test_results_on_stdout_and_logs_on_stderr(node: NodeProcess) -> None:
    node.flags = ("--log-format", "json")
    with node.running():
        node.rpc("generatetoaddress", 1, ADDRESS)
        status = node.cli("status", "--json")
        assert (status.code, status.err) == (0, "")
        assert status.json()["height"] == 1
        wrong = node.cli("rpc", "getblockhash", "9", "--json")
        assert (wrong.code, wrong.out) == (1, "")
        assert json.loads(wrong.err)["error"]["code"] == -8
        assert node.cli("rpc", "getblockcount").out == "1\n"
        assert node.cli("wait-sync", "--height", "1", "--timeout", "5", "--json").json()["height"] == 1
        closed_early(node)
        assert node.stop()[0] == 0
    for line in node.stderr.splitlines():
        assert json.loads(line)["event"], line


def closed_early(node: NodeProcess) -> None:
    """Read nothing of a long answer, as `| head -0` does."""
    words = [*LAUNCH, "rpc", "rpc.discover", *node.place]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(20)


@pytest.mark.parametrize("plain", [False, True])
def test_colours_only_where_they_are_wanted(plain: bool, tmp_path: Path) -> None:
    main, terminal = pty.openpty()
    extra = {"TERM": "xterm", **({"NO_COLOR": "1"} if plain else {})}
    words = [*LAUNCH, "status", "--network", "devnet", "--datadir", str(tmp_path), "--rpc-port", "1"]
    subprocess.run(words, stderr=terminal, stdin=terminal, check=False, env=environment(**extra))
    shown = os.read(main, 65536)
    os.close(main)
    os.close(terminal)
    assert b"no answer" in shown
    assert (b"31m" in shown) is not plain


def test_a_port_of_somebody_else_is_no_node(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = ioex("node", "--network", "devnet", "--datadir", str(tmp_path), "--rpc-port", port, "--no-p2p")
    assert done.code == 1
    assert "change the settings" in done.err
    assert not (tmp_path / "devnet" / ".cookie").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_shells(shell: str) -> None:
    command = (
        sys.executable,
        "-P",
        "-c",
        "import sys; sys.argv[0] = 'ioex'; from ioex_chain.cli.entry import main; main()",
    )
    asked = environment(_IOEX_COMPLETE=f"source_{shell}")
    script = subprocess.run(command, env=asked, capture_output=True, text=True, check=True).stdout
    assert "_IOEX_COMPLETE" in script
    line = {"COMP_WORDS": "ioex wa", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "ioex wa"}
    if shell == "fish":
        line["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    asked = environment(_IOEX_COMPLETE=f"complete_{shell}", **line)
    words = subprocess.run(command, env=asked, capture_output=True, text=True, check=True).stdout
    assert "wallet" in words
    assert "wait-sync" in words


WRONG = [
    ("getblockhash", [], -1, "height"),
    ("getblockhash", ["one"], -3, "height"),
    ("getblockhash", [99], -8, "height"),
    ("getblock", ["00" * 32], -5, "Block"),
    ("getblock", ["00"], -8, "blockhash"),
    ("getblock", [0], -3, "blockhash"),
    ("sendrawtransaction", ["00"], -22, "TX"),
    ("generatetoaddress", [1, "nobody"], -5, "address"),
    ("nosuch", [], -32601, "Method"),
]


def test_wrong_parameters_have_the_codes_of_bitcoin_core(node: NodeProcess) -> None:
    with node.running():
        for method, params, code, word in WRONG:
            with pytest.raises(RpcFailed) as failed:
                node.rpc(method, *params)
            assert failed.value.code == code, (method, params, failed.value)
            assert word.lower() in failed.value.message.lower(), failed.value


def test_a_devnet_mines_by_itself_and_says_where_it_is(new_node: NewNode) -> None:
    node = new_node(command=("devnet",), flags=("--mine-processes", "1"))
    with node.running():
        done = node.cli("wait-sync", "--height", "1", "--timeout", "20")
        assert done.code == 0, node.stderr
        children = node.children()
        assert len(children) >= 2, "verifiers and miners are processes of their own"
        node.kill()  # sees that they end with it
    with node.running():
        assert node.rpc("getblockcount") >= 1
        assert node.stop()[0] == 0


def test_a_node_that_cannot_start_says_why(node: NodeProcess) -> None:
    with pytest.raises(NodeDied) as died:
        node.start("--mine")
    assert died.value.code in (1, 2)
    assert "mine_to" in died.value.stderr
    assert "Traceback" not in died.value.stderr
    assert not node.datadir.cookie.exists()

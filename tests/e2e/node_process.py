"""The real `ioex` command in a process of its own: started, asked over RPC, stopped, killed.

node = NodeProcess(tmp_path)            # a devnet whose genesis lies in the past; nothing runs yet
with node.running():                    # waits until it answers; afterwards nothing of it is left
    node.rpc("generatetoaddress", 3, node.address)
    node.kill()                         # SIGKILL, as a power cut would
"""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ioex_chain.node.datadir import DataDir, Identity

GENESIS_TIME = 1_750_000_000
"""Long ago, so that blocks a spacing apart are never ahead of the clock."""
ADDRESS = "riox1qquv9lg5g2r4jkr0ahun0ddfg5xntxjel4u06n2"
"""The devnet's first funded account."""
READY_SECONDS = 30.0
STOP_SECONDS = 5.0
LAUNCH = (sys.executable, "-P", "-m", "ioex_chain")


class RpcFailed(Exception):
    """The node answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class NodeDied(Exception):
    """The process ended when it should have run; `code` is its exit status."""

    def __init__(self, code: int | None, stderr: str) -> None:
        super().__init__(f"exit {code}\n{stderr}")
        self.code = code
        self.stderr = stderr


def environment(**extra: str) -> dict[str, str]:
    """Give an environment without settings of whoever runs the tests."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("IOEX_")}
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "100", "TERM": "dumb", **extra}


@dataclass
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def ioex(
    *words: str,
    stdin: str = "",
    timeout: float = 60,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Finished:
    """Run a command of `ioex` to its end."""
    done = subprocess.run(
        [*LAUNCH, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env or environment(),
        cwd=cwd,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def all_gone(processes: Sequence[psutil.Process], seconds: float) -> bool:
    """Whether all of them end within `seconds`."""
    return not psutil.wait_procs(processes, timeout=seconds)[1] or not alive(processes)


@dataclass
class NodeProcess:
    """One data directory and, while it runs, the node on it."""

    base: Path
    network: str = "devnet"
    flags: tuple[str, ...] = ()
    launch: tuple[str, ...] = LAUNCH
    command: tuple[str, ...] = ("node",)
    env: dict[str, str] = field(default_factory=environment)
    address: str = ADDRESS
    process: "subprocess.Popen[str] | None" = None
    ready_after: float = 0.0
    url: str = ""
    port: int = 0
    p2p_url: str = ""
    dpos: dict[str, Any] = field(default_factory=dict)
    """Where the DPoS chain listens, as the node says it; empty without that chain."""

    def __post_init__(self) -> None:
        self.folder = self.base / "data"
        self.stderr_file = self.base / "stderr.txt"
        if self.network == "devnet" and not self.datadir.exists():
            self.datadir.create(Identity("devnet", GENESIS_TIME))

    @property
    def datadir(self) -> DataDir:
        return DataDir(self.folder, self.network)

    @property
    def place(self) -> tuple[str, ...]:
        """The options that point any command to this node."""
        here = ("--network", self.network, "--datadir", str(self.folder))
        return (*here, "--rpc-port", str(self.port)) if self.port else here

    @property
    def peer_id(self) -> str:
        return self.p2p_url.removeprefix("ioex://").partition("@")[0]

    @property
    def p2p_port(self) -> int:
        return int(self.p2p_url.rpartition(":")[2])

    # --- commands ----------------------------------------------------------------------------------------

    def cli(self, *words: str, stdin: str = "", timeout: float = 60, **env: str) -> Finished:
        """Run another command against this node or its data directory."""
        return ioex(*words, *self.place, stdin=stdin, timeout=timeout, env=environment(**env))

    def json(self, *words: str, **env: str) -> Any:
        done = self.cli(*words, "--json", **env)
        assert done.code == 0, done
        return done.json()

    # --- life --------------------------------------------------------------------------------------------

    def start(self, *flags: str, wait: bool = True, **popen: Any) -> "NodeProcess":
        """Start; raises NodeDied with its stderr when it does not get up."""
        assert self.process is None, "it runs already"
        place = ["--datadir", str(self.folder), "--rpc-port", "0", "--p2p-port", "0", "--json"]
        place += ["--dpos-rpc-port", "0", "--dpos-p2p-port", "0"]
        if self.command[0] == "node":
            place += ["--network", self.network]
        began = time.monotonic()
        with self.stderr_file.open("w") as log:
            self.process = subprocess.Popen(
                [*self.launch, *self.command, *place, *self.flags, *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.env,
                start_new_session=True,
                **popen,
            )
        if wait:
            self._await_ready()
            self.ready_after = time.monotonic() - began
        return self

    def _await_ready(self) -> None:
        """Read the JSON that a node prints when it is up; the end of stdout means that it died."""
        assert self.process is not None
        assert self.process.stdout is not None
        too_late = threading.Timer(READY_SECONDS, self.process.kill)
        too_late.start()
        text = ""
        try:
            for line in self.process.stdout:
                text += line
                if line.startswith("}"):
                    said = json.loads(text)
                    self.url = said["rpc"]
                    self.port = int(self.url.rstrip("/").rpartition(":")[2])
                    self.p2p_url = said.get("p2p") or ""
                    self.dpos = said.get("dpos") or {}
                    return
            code = self.process.wait(READY_SECONDS)
        finally:
            too_late.cancel()
        self._forget()
        raise NodeDied(code, self.stderr)

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text() if self.stderr_file.exists() else ""

    @contextmanager
    def running(self, *flags: str, **popen: Any) -> Iterator["NodeProcess"]:
        """Run it for a while; afterwards it and all that it started is gone, however it went."""
        self.start(*flags, **popen)
        try:
            yield self
        finally:
            self.ensure_gone()

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return descendants(self.process.pid)

    def kill(self) -> None:
        """SIGKILL the node alone; its helpers must notice by themselves."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        self._forget()
        assert all_gone(children, STOP_SECONDS), f"orphans: {alive(children)}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; give exit status and seconds until then. Nothing may be left of it."""
        assert self.process is not None
        children = self.children()
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.wait()
        took = time.monotonic() - began
        assert all_gone(children, STOP_SECONDS), f"orphans: {alive(children)}"
        return code, took

    def wait(self, seconds: float = 20.0) -> int:
        """Give the exit status once it has ended by itself."""
        assert self.process is not None
        code = self.process.wait(seconds)
        self._forget()
        return code

    def _forget(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        self.port = 0

    def ensure_gone(self) -> None:
        """End the process group, if it is still there."""
        if self.process is None:
            return
        children = self.children()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self._forget()
        assert all_gone(children, STOP_SECONDS), f"orphans: {alive(children)}"

    # --- RPC ---------------------------------------------------------------------------------------------

    def rpc(self, method: str, *params: Any, timeout: float = 60) -> Any:
        """Call one method with the node's cookie. Raises RpcFailed, OSError."""
        answer = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}, timeout)
        if "error" in answer:
            raise RpcFailed(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    def batch(self, calls: Sequence[tuple[str, list[Any]]], timeout: float = 60) -> list[Any]:
        """Call many methods in one request; give the response objects, in order."""
        body = [{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(calls)]
        return sorted(self.post(body, timeout), key=lambda answer: answer["id"])

    def post(self, body: Any, timeout: float = 60) -> Any:
        cookie = base64.b64encode(self.datadir.cookie.read_bytes()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Authorization": f"Basic {cookie}", "Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(body), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    # --- what must be equal ------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Height, head and the digest of all unspent outputs, as the running node has them."""
        info = self.rpc("gettxoutsetinfo")
        return {
            name: info[name]
            for name in ("height", "bestblock", "txouts", "hash_serialized_3", "total_amount")
        }

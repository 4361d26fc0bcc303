"""Several real nodes of one devnet, the arbitrators split over them, and what a test asks of them."""

import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import orjson
from e2e.network_world import wait_for
from e2e.node_process import NodeProcess, environment
from e2e.wires import Wires
from eth_account import Account
from web3 import HTTPProvider, Web3

from ioex_chain.node.datadir import Identity
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey

GWEI = 10**9
PATIENCE = 90.0
MASTER = MasterKey.from_mnemonic(DEV_MNEMONIC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dev_key(account: int) -> str:
    return "0x" + MASTER.dpos_key(account).hex()


def dev_address(account: int) -> str:
    return str(Account.from_key(dev_key(account)).address).lower()


class DposNetwork:
    """Nodes named by letters; `keys` says which accounts of the published mnemonic seal in which.

    The first runs alone at its first start and begins the chain; all others, and it too later, dial all that
    were started before. A context manager.
    """

    def __init__(
        self, base: Path, keys: Mapping[str, Iterable[int]], *flags: str, seats: int | None = None
    ) -> None:
        self.base = base
        self.keys = {name: tuple(accounts) for name, accounts in keys.items()}
        self.flags = flags
        self.seats = seats
        self.nodes: dict[str, NodeProcess] = {}
        self.ports: dict[str, int] = {}
        self.urls: dict[str, str] = {}
        self.genesis_time = 0
        self.apart = True
        """Whether the nodes are as on machines of their own."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.wires = stack.enter_context(Wires())
            stack.callback(self._end_all)
            for name in self.keys:
                self.add(name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _end_all(self) -> None:
        for node in self.nodes.values():
            node.ensure_gone()

    def add(self, name: str, accounts: Iterable[int] | None = None, *flags: str) -> NodeProcess:
        """Make a data directory on the same genesis and start the node in it."""
        if accounts is not None:
            self.keys[name] = tuple(accounts)
        folder = self.base / name
        folder.mkdir(parents=True)
        node = self.nodes[name] = NodeProcess(folder)
        shutil.rmtree(node.datadir.path)
        self.genesis_time = self.genesis_time or int(time.time())
        node.datadir.create(Identity("devnet", self.genesis_time, arbitrators=self.seats))
        self.ports[name] = free_port()
        node.flags = flags
        return self.start(name)

    def start(self, name: str, *, alone: bool = False, **popen: Any) -> NodeProcess:
        """Start a node (again); `alone`: it dials nobody, and waits for nobody before it seals."""
        others = [] if alone else [self._over_wire(name, other) for other in self.urls if other != name]
        node = self.nodes[name]
        flags = [*self.flags, "--verify-processes", "0", "--only-peers"]
        flags += ["--dpos-p2p-port", str(self.ports[name])]
        accounts = ",".join(map(str, self.keys.get(name, ())))
        path = ":".join(entry for entry in sys.path if entry)
        # as on machines of their own: the lock of a key and its proof of boot lie in the runtime folder
        runtime = node.base / "run" if self.apart else self.base
        runtime.mkdir(exist_ok=True)
        node.env = environment(PYTHONPATH=path, XDG_RUNTIME_DIR=str(runtime))
        if accounts:
            node.env["IOEX_ARBITRATOR_ACCOUNTS"] = accounts
        for url in others:
            flags += ["--dpos-peers", url]
        node.start(*flags, **popen)
        self.urls[name] = node.dpos["p2p"]
        return node

    def _over_wire(self, near: str, far: str) -> str:
        """Give the URL under which one node dials another, over a wire that `wires` can cut."""
        return f"{self.urls[far].rpartition(':')[0]}:{self.wires.lay(near, far, self.ports[far])}"

    def running(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.process is not None]

    def kill(self, name: str) -> None:
        self.nodes[name].kill()

    def pause(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        process = self.nodes[name].process
        assert process is not None
        process.send_signal(number)

    def disturb(self, what: str, name: str) -> None:
        """Kill, pause, cut off or restart a node; all but the last last until `restore`."""
        if what == "kill":
            self.kill(name)
        elif what == "pause":
            self.pause(name)
        elif what == "cut":
            self.wires.part(name, "".join(other for other in self.keys if other != name))
        else:
            self.nodes[name].stop()
            self.start(name)

    def restore(self, what: str, name: str) -> None:
        """Undo what `disturb` did."""
        if what == "kill":
            self.start(name)
        elif what == "pause":
            self.wake(name)
        elif what == "cut":
            self.wires.heal()

    # --- asking ------------------------------------------------------------------------------------------

    def w3(self, name: str, timeout: float = 20) -> Web3:
        return Web3(HTTPProvider(self.nodes[name].dpos["rpc"], request_kwargs={"timeout": timeout}))

    def ask(self, name: str, method: str, *params: Any) -> Any:
        answer = self.w3(name).provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "result" in answer, answer
        return answer["result"]

    def height(self, name: str, tag: str = "latest") -> int:
        return int(self.ask(name, "eth_getBlockByNumber", tag, False)["number"], 16)

    def hash_at(self, name: str, height: int) -> str:
        block = self.ask(name, "eth_getBlockByNumber", hex(height), False)
        return "" if block is None else str(block["hash"])

    def signing(self, name: str) -> list[dict[str, Any]]:
        return list(self.ask(name, "ioex_getSigning"))

    def signs(self, name: str) -> bool:
        return all(key["signs"] for key in self.signing(name))

    def evidence(self) -> list[Any]:
        return [item for name in self.running() for item in self.ask(name, "ioex_getEvidence")]

    def seals(self, name: str, first: int, last: int, key: str) -> int:
        """Count the blocks in a range of heights whose slot belonged to a key."""
        asked = name, "ioex_getBlockPosition"
        slots = [int(self.ask(*asked, hex(height))["slot"], 16) for height in range(first, last + 1)]
        found = self.ask(name, "ioex_getSlots", hex(slots[0]), hex(slots[-1]))
        return sum(one["key"].lower() == key.lower() and one["block"] is not None for one in found)

    # --- waiting -----------------------------------------------------------------------------------------

    def why(self) -> str:
        """Tell how all nodes stand, for a failing test."""
        rows = []
        for name in self.running():
            try:
                rows.append(f"{name}: {orjson.dumps(self.facts(name)).decode()}")
            except (OSError, AssertionError, ValueError) as error:
                rows.append(f"{name}: {error!r}")
            rows.append(self.nodes[name].stderr[-1500:])
        return "\n".join(rows)

    def facts(self, name: str) -> dict[str, Any]:
        heights = {tag: self.height(name, tag) for tag in ("latest", "safe", "finalized")}
        return {**heights, "signing": self.signing(name), "peers": self.ask(name, "net_peerCount")}

    def wait(self, what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        return wait_for(what, self.why, seconds)

    def wait_final(self, name: str, height: int, seconds: float = PATIENCE) -> None:
        self.wait(lambda: self.height(name, "finalized") >= height, seconds)

    def wait_finality_moves(self, blocks: int = 2, seconds: float = PATIENCE) -> int:
        """Wait until every running node has a final block above all heads of now."""
        top = max(self.height(name) for name in self.running()) + blocks
        for name in self.running():
            self.wait_final(name, top, seconds)
        return top

    def assert_one_chain(self) -> int:
        """See that all nodes have the same blocks up to the highest final one; give its height."""
        final = min(self.height(name, "finalized") for name in self.running())
        for height in range(1, final + 1, max(1, final // 20)):
            assert len({self.hash_at(name, height) for name in self.running()}) == 1, height
        assert (
            len(
                {
                    self.ask(name, "eth_getBlockByNumber", hex(final), False)["stateRoot"]
                    for name in self.running()
                }
            )
            == 1
        )
        return final

    # --- paying ------------------------------------------------------------------------------------------

    def transfer(self, account: int, nonce: int, to: str, value: int = 1, tip: int = GWEI) -> bytes:
        """Sign a transfer of a published account."""
        signed = Account.sign_transaction(
            {
                "to": to,
                "value": value,
                "gas": 21_000,
                "maxFeePerGas": 10 * GWEI + tip,
                "maxPriorityFeePerGas": tip,
                "nonce": nonce,
                "chainId": self.nodes[self.running()[0]].dpos["chain_id"],
                "type": 2,
            },
            dev_key(account),
        )
        return bytes(signed.raw_transaction)

    def send(self, name: str, raw: bytes) -> str:
        return str(self.ask(name, "eth_sendRawTransaction", "0x" + raw.hex()))

    def receipt(self, name: str, hash_: str) -> Any:
        return self.ask(name, "eth_getTransactionReceipt", hash_)

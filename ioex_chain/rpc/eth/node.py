"""net_* and web3_*: the node and its connections."""

import platform

from ioex_chain.crypto.hashes import keccak256
from ioex_chain.rpc.eth.values import Bytes, HashResult, QuantityResult
from ioex_chain.rpc.eth_backend import EthBackend
from ioex_chain.rpc.registry import method


class NodeApi:
    """What clients ask first."""

    def __init__(self, backend: EthBackend) -> None:
        self._backend = backend
        python = platform.python_version()
        self._version = f"ioex/v{backend.version}/{platform.system().lower()}/python{python}"

    @method("web3_clientVersion", group="web3")
    def client_version(self) -> str:
        """Name the program and its version."""
        return self._version

    @method("web3_sha3", group="web3")
    def sha3(self, data: Bytes) -> HashResult:
        """Give keccak256 of bytes."""
        return "0x" + keccak256(data).hex()

    @method("net_version", group="net")
    def net_version(self) -> str:
        """Give the chain id in decimal digits."""
        return str(self._backend.spec.dpos.chain_id)

    @method("net_listening", group="net")
    def listening(self) -> bool:
        """Whether peers can connect to this node."""
        return bool(self._backend.peers.network_state().listening)

    @method("net_peerCount", group="net")
    def peer_count(self) -> QuantityResult:
        """Count the connected peers."""
        return hex(len(self._backend.peers.peers()))

"""The devnet of the tests' nodes as `chaingen` sees it: branches and payments made outside of any node."""

from chaingen.builder import ChainBuilder, Funds
from chaingen.owners import KeyHash
from embit import bip32, bip39

from ioex_chain.primitives.types import COIN
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.hd import DEV_MNEMONIC

from .node_process import GENESIS_TIME


def devnet_spec() -> NetworkSpec:
    return load_network("devnet", genesis_time=GENESIS_TIME)


def dev_owner(path: str) -> KeyHash:
    """Give the owner of a devnet address, derived by another library than the wallet's."""
    root = bip32.HDKey.from_seed(bip39.mnemonic_to_seed(DEV_MNEMONIC))
    return KeyHash(root.derive(path).key.serialize())


def dev_chain() -> tuple[ChainBuilder, list[Funds]]:
    """Give a builder on the devnet's genesis, and its coins that are free at once, largest first.

    What backs the DPoS chain's balances is no coin of anybody's here.
    """
    spec = devnet_spec()
    chain = ChainBuilder(spec)
    free = [row for row in spec.token.allocations if row.key_path.startswith("m/84'") and not row.unlock_time]
    chain.know(*(dev_owner(row.key_path) for row in free if row.key_path))
    coins = chain.all_funds(chain.genesis.transactions[0])
    assert sum(coin.value for coin in coins) == sum(row.amount for row in free) > COIN
    return chain, sorted(coins, key=lambda coin: -coin.value)

"""The Ethereum side of the DPoS chain: state, transactions, execution. It knows no consensus and no peers."""

import os

# Read by eth-hash at its first hash: the other backend is several times slower.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")

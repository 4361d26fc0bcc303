"""Write genesis/{mainnet,testnet,devnet}.json from the token plan and one published mnemonic.

    python scripts/make_genesis.py [FOLDER]

The files are committed; a test runs this again and compares. On mainnet the keys are placeholders that
`ioex genesis build` replaces: whoever reads this page can spend what they hold.
"""

import sys
from pathlib import Path

from bip32 import BIP32
from mnemonic import Mnemonic

from ioex_chain.crypto.address import checksum_account, encode_witness
from ioex_chain.crypto.hashes import hash160
from ioex_chain.spec.build import Grant, build_document, encode_document
from ioex_chain.spec.document import CONTRACTS, DposDocument, NetworkDocument, PowDocument, TokenDocument
from ioex_chain.spec.model import MONTH

MNEMONIC = "test test test test test test test test test test test junk"
ACCOUNTS = {"A": 0, "C": 1, "D": 2, "E1": 3, "E2": 4, "E4": 5, "E5": 6}
"""BIP-84 account of each plan line; its key is m/84'/<coin type>'/<account>'/0/0."""
GENESIS_TIME = 1_767_225_600  # 2026-01-01 00:00 UTC
LISTING_TIME = GENESIS_TIME + MONTH
MAINNET_COIN_TYPE = 0x494F4558  # "IOEX" in ASCII: not registered in SLIP-44
FIRST_CONTRACT = 0x10E001


def system_contracts() -> dict[str, str]:
    """0x...0010e001 to 0x...0010e009 in the order of docs/protocol.md section 5."""
    return {
        name: checksum_account((FIRST_CONTRACT + index).to_bytes(20, "big"))
        for index, name in enumerate(CONTRACTS)
    }


def grants(prefix: str, coin_type: int) -> dict[str, list[Grant]]:
    """One P2WPKH beneficiary per plan line that is not a contract's, from the published mnemonic."""
    root = BIP32.from_seed(Mnemonic.to_seed(MNEMONIC))
    found = {}
    for letter, account in ACCOUNTS.items():
        path = f"m/84'/{coin_type}'/{account}'/0/0"
        program = hash160(root.get_pubkey_from_path(path))
        found[letter] = [Grant(encode_witness(prefix, 0, program), None, path)]
    return found


def document(
    name: str, coin_type: int, metrics: int, pow_: dict[str, object], dpos: tuple[int, ...]
) -> NetworkDocument:
    """One network's document with the whole plan in it."""
    chain_id, block_time, seats, p2p, rpc = dpos
    common: dict[str, object] = {"genesis_time": GENESIS_TIME, "genesis_nonce": 0, "activations": []}
    empty = NetworkDocument(
        name=name,
        options=name == "devnet",
        coin_type=coin_type,
        metrics_port=metrics,
        pow=PowDocument.model_validate(
            {**common, "genesis_text": f"ioeX {name}: two chains, one coin (provisional)", **pow_}
        ),
        dpos=DposDocument(chain_id=chain_id, block_time=block_time, seats=seats, p2p_port=p2p, rpc_port=rpc),
        contracts=system_contracts(),
        token=TokenDocument(listing_time=LISTING_TIME, provisional=True, unsold={}, allocations=[]),
    )
    return build_document(empty, grants(empty.pow.address_prefix, coin_type), {})


def parameters(
    spacing: int, bits: str, fixed: bool, depths: tuple[int, int, int], prefix: str, ports: tuple[int, int]
) -> dict[str, object]:
    """Fields of the PoW chain; `depths` are k, maturity, largest reorganisation."""
    return {
        "spacing": spacing,
        "genesis_bits": bits,
        "pow_limit_bits": bits,
        "fixed_difficulty": fixed,
        "burial_depth": depths[0],
        "coinbase_maturity": depths[1],
        "max_reorg_depth": depths[2],
        "address_prefix": prefix,
        "p2p_port": ports[0],
        "rpc_port": ports[1],
        "stratum_port": ports[1] - 1,
    }


def networks() -> list[NetworkDocument]:
    """Give the three networks of docs/protocol.md section 7."""
    main = parameters(120, "0x1d00ffff", False, (12, 100, 720), "ioex", (20338, 20336))
    test = parameters(120, "0x1e00ffff", False, (6, 100, 720), "tiox", (21338, 21336))
    dev = parameters(4, "0x207fffff", True, (2, 4, 100), "riox", (22338, 22336))
    return [
        document("mainnet", MAINNET_COIN_TYPE, 9420, main, (51120, 30, 51, 30338, 38545)),
        document("testnet", 1, 19420, test, (51121, 30, 51, 31338, 39545)),
        document("devnet", 1, 29420, dev, (51337, 1, 4, 32338, 8545)),
    ]


def main() -> None:
    """Write the three files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "genesis"
    for network in networks():
        path = folder / f"{network.name}.json"
        path.write_text(encode_document(network))
        print(path)


if __name__ == "__main__":
    main()

"""Write genesis/{mainnet,testnet,devnet}.json from the token plan and one published mnemonic.

    python scripts/make_genesis.py [FOLDER]

The files are committed; a test runs this again and compares. On mainnet and testnet keys, members and
owners are placeholders that `ioex genesis build` replaces: whoever reads this page has their keys.
"""

import sys
from pathlib import Path

from bip32 import BIP32
from coincurve import PublicKey
from mnemonic import Mnemonic

from ioex_chain.crypto.address import DEPOSIT_TAG, account_of, checksum_account, encode_witness
from ioex_chain.crypto.hashes import hash160
from ioex_chain.primitives.types import COIN
from ioex_chain.spec.build import Grant, build_document, encode_document
from ioex_chain.spec.document import (
    CONTRACTS,
    BridgeDocument,
    DposDocument,
    NetworkDocument,
    PowDocument,
    TokenDocument,
)
from ioex_chain.spec.model import MONTH
from ioex_chain.spec.plan import PLAN

MNEMONIC = "test test test test test test test test test test test junk"
ACCOUNTS = {"A": 0, "C": 1, "D": 2, "E1": 3, "E2": 4, "E4": 5, "E5": 6}
"""BIP-84 account of each plan line; its key is m/84'/<coin type>'/<account>'/0/0."""
GENESIS_TIME = 1_767_225_600  # 2026-01-01 00:00 UTC
LISTING_TIME = GENESIS_TIME + MONTH
MAINNET_COIN_TYPE = 0x494F4558  # "IOEX" in ASCII: not registered in SLIP-44
FIRST_CONTRACT = 0x10E001
OWNER = 0x10E000
"""OwnerMultisig's address, before the nine contracts."""
SEATS = 51
OWNERS = 3
FUNDED_ACCOUNTS = 10
FUNDS = 10_000 * COIN
"""What each funded account of the devnet has on the DPoS chain, from line E5."""
DAY = 86_400


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


def account_path(index: int) -> str:
    """Where wallets of Ethereum look for account `index`."""
    return f"m/44'/60'/0'/0/{index}"


def accounts(count: int) -> list[bytes]:
    """Addresses of the published mnemonic's first accounts on the DPoS chain."""
    root = BIP32.from_seed(Mnemonic.to_seed(MNEMONIC))
    keys = [root.get_pubkey_from_path(account_path(index)) for index in range(count)]
    return [account_of(PublicKey(key).format(compressed=False)) for key in keys]


def members() -> list[dict[str, str]]:
    """One member a seat: key, payout and operator are one account, so that a devnet needs no other."""
    return [
        {"key": address, "payout": address, "name": f"arbitrator {index}", "key_path": account_path(index)}
        for index, address in enumerate(map(checksum_account, accounts(SEATS)))
    ]


def promotion(prefix: str, grant: Grant) -> list[Grant]:
    """Line E5 of the devnet: its funded accounts' deposits, the rest to the line's beneficiary."""
    deposits = [
        Grant(encode_witness(prefix, 16, DEPOSIT_TAG + account), FUNDS, account_path(index))
        for index, account in enumerate(accounts(FUNDED_ACCOUNTS))
    ]
    return [grant._replace(amount=PLAN["E5"].amount - FUNDED_ACCOUNTS * FUNDS), *deposits]


def consortium(name: str) -> dict[str, object]:
    """Members, owners and the rules that differ between networks."""
    slow = name != "devnet"
    return {
        "genesis_time": GENESIS_TIME,
        "term_rounds": 56 if slow else 10,
        "min_members": 13 if slow else 1,
        "execution_gas_limit": 40_000_000 if slow else 30_000_000,
        "unlock_period": 7 * DAY if slow else 60,
        "jail_period": 30 * DAY if slow else 120,
        "miss_limit": 168,
        "owner": checksum_account(OWNER.to_bytes(20, "big")),
        "owner_keys": [checksum_account(address) for address in accounts(OWNERS)],
        "owner_quorum": 2,
        "members": members(),
    }


def bridge(name: str) -> BridgeDocument:
    """Give the amounts of the bridge, and how long the owner's changes wait."""
    return BridgeDocument(
        withdrawal_fee="0.0001",
        min_withdrawal="0.0002",
        daily_outflow_cap="1000000",
        min_relayed_deposit="0.01",
        owner_delay=60 if name == "devnet" else 7 * DAY,
    )


def document(
    name: str, coin_type: int, metrics: int, pow_: dict[str, object], dpos: tuple[int, ...]
) -> NetworkDocument:
    """One network's document with the whole plan in it."""
    chain_id, block_time, seats, p2p, rpc = dpos
    chain: dict[str, object] = {"chain_id": chain_id, "seats": seats, "p2p_port": p2p, "rpc_port": rpc}
    chain |= {"block_time": block_time, "nominal_block_time": block_time}
    common: dict[str, object] = {"genesis_time": GENESIS_TIME, "genesis_nonce": 0, "activations": []}
    empty = NetworkDocument(
        name=name,
        options=name == "devnet",
        coin_type=coin_type,
        metrics_port=metrics,
        pow=PowDocument.model_validate(
            {**common, "genesis_text": f"ioeX {name}: two chains, one coin (provisional)", **pow_}
        ),
        dpos=DposDocument.model_validate({**chain, **consortium(name)}),
        bridge=bridge(name),
        contracts=system_contracts(),
        token=TokenDocument(listing_time=LISTING_TIME, provisional=True, unsold={}, allocations=[]),
    )
    paid = grants(empty.pow.address_prefix, coin_type)
    if name == "devnet":
        paid["E5"] = promotion(empty.pow.address_prefix, paid["E5"][0])
    return build_document(empty, paid, {})


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

"""One wallet on disk: a folder with the encrypted mnemonic, imported keys, and what the wallet remembers.

`wallet.json` (the mnemonic, encrypted, and the public account keys beside it) and `keys/*.json` (Web3 v3)
are written once. `state.json` holds no secret and can be lost: discovery finds addresses again.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ioex_chain.crypto.secp256k1 import InvalidKey, public_key
from ioex_chain.pow.script import parse_spend_script
from ioex_chain.primitives.types import TxHash
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.book import ScriptBook
from ioex_chain.wallet.coins import ChainSource
from ioex_chain.wallet.errors import (
    InvalidExtendedKey,
    InvalidPrivateKey,
    KeystoreDamaged,
    KeystoreExists,
    KeystoreMissing,
    KeystoreUnreadable,
    NoPrivateKeys,
    WrongNetwork,
)
from ioex_chain.wallet.hd import Account, MasterKey, Purpose, dpos_address, is_main, normalize_mnemonic
from ioex_chain.wallet.keystore import (
    FORMAT,
    FORMAT_VERSION,
    Document,
    Sealer,
    open_sealed,
    read_document,
    read_foreign,
    read_wallet,
    replace_file,
    write_document,
)
from ioex_chain.wallet.signing import KeyRing
from ioex_chain.wallet.utxo_wallet import UtxoWallet

MAX_SENT = 1_000
"""Own transactions that the state remembers; only unconfirmed ones matter."""
_ORIGIN = re.compile(r"\[([0-9a-fA-F]{8})((?:/\d+(?:'|h)?)*)\](\S+)")


@dataclass(slots=True)
class WalletState:
    """What a wallet remembers from one command to the next."""

    issued: dict[tuple[Purpose, int], int] = field(default_factory=dict)
    locks: list[bytes] = field(default_factory=list)
    """Witness scripts that pay this wallet behind a lock or with cosigners."""
    sent: list[TxHash] = field(default_factory=list)

    def encode(self) -> bytes:
        """Give the file's bytes."""
        document = {
            "version": 1,
            "issued": {f"{purpose}/{branch}": count for (purpose, branch), count in self.issued.items()},
            "locks": [script.hex() for script in self.locks],
            "sent": [txid.hex() for txid in self.sent[-MAX_SENT:]],
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)

    @classmethod
    def decode(cls, data: bytes) -> "WalletState":
        """Read `encode`'s bytes. Raises ValueError, TypeError, KeyError, AttributeError."""
        document = orjson.loads(data)
        issued = {}
        for name, count in document["issued"].items():
            purpose, branch = name.split("/")
            if type(count) is not int or not 0 <= count < 1 << 31 or branch not in ("0", "1"):
                raise ValueError(name)
            issued[Purpose(int(purpose)), int(branch)] = count
        locks = [bytes.fromhex(text) for text in document["locks"]]
        return cls(issued, locks, [TxHash(bytes.fromhex(text)) for text in document["sent"]])


class WalletFolder:
    """One wallet's folder."""

    def __init__(self, path: Path, spec: NetworkSpec, sealer: Sealer | None = None) -> None:
        self.path = path
        self.spec = spec
        self._sealer = sealer or Sealer()

    @property
    def file(self) -> Path:
        """The wallet file itself."""
        return self.path / "wallet.json"

    @property
    def state_file(self) -> Path:
        """What can be lost."""
        return self.path / "state.json"

    # --- making one --------------------------------------------------------------------------------------

    def create(self, mnemonic: str, password: str, passphrase: str = "", account: int = 0) -> MasterKey:
        """Write a wallet of a mnemonic. Raises InvalidMnemonic, KeystoreExists, KeystoreUnreadable."""
        mnemonic = normalize_mnemonic(mnemonic)
        master = MasterKey.from_mnemonic(mnemonic, passphrase)
        self._check_free()
        secret = orjson.dumps({"mnemonic": mnemonic, "passphrase": passphrase})
        accounts = [master.account(self.spec, purpose, account) for purpose in Purpose]
        self._write(
            "seed",
            accounts,
            fingerprint=master.fingerprint.hex(),
            dpos_address=dpos_address(master.dpos_key()).hex(),
            crypto=self._sealer.seal(secret, password),
        )
        return master

    def create_watching(self, text: str, purpose: Purpose | None = None) -> Account:
        """Write a watch-only wallet of an extended public key, `[fingerprint/84'/1'/0']vpub...` or bare.

        Raises InvalidExtendedKey, KeystoreExists.
        """
        account = parse_account_key(text, purpose)
        self._check_free()
        self._write("watch", [account])
        return account

    def create_empty(self) -> None:
        """Write a wallet for imported keys only. Raises KeystoreExists."""
        self._check_free()
        self._write("keys", [])

    def import_key(self, private: bytes, password: str) -> bytes:
        """Add a raw key as a Web3 v3 file of its own; give its 33-byte public key.

        Raises InvalidPrivateKey, KeystoreExists.
        """
        self.document()
        try:
            public = public_key(private)
        except InvalidKey as error:
            raise InvalidPrivateKey("a private key is between 1 and the group order less 1") from error
        address = dpos_address(private)
        document = self._sealer.key_document(private, address, password) | {"public": public.hex()}
        write_document(self.path / "keys" / f"{address.hex()}.json", document)
        return public

    def _check_free(self) -> None:
        if self.file.exists():
            raise KeystoreExists(self.file, "exists already and is never written over; choose another name")

    def _write(self, kind: str, accounts: Iterable[Account], **more: Any) -> None:
        main = is_main(self.spec)
        write_document(
            self.file,
            {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "network": self.spec.name,
                "kind": kind,
                "accounts": [
                    {
                        "purpose": int(account.purpose),
                        "xpub": account.export_xpub(main),
                        "fingerprint": account.fingerprint.hex(),
                        "path": list(account.path),
                    }
                    for account in accounts
                ],
                **more,
            },
        )

    # --- using it ----------------------------------------------------------------------------------------

    def document(self) -> Document:
        """Read the wallet file. Raises KeystoreError."""
        document = read_wallet(self.file)
        if document["network"] != self.spec.name:
            raise WrongNetwork(
                self.file, f"is a {document['network']} wallet, this is {self.spec.name}; give --network"
            )
        return document

    def accounts(self) -> list[Account]:
        """Give the public accounts."""
        return [
            Account.parse(
                item["xpub"],
                Purpose(item["purpose"]),
                tuple(item["path"]),
                bytes.fromhex(item["fingerprint"]),
            )
            for item in self.document()["accounts"]
        ]

    def imported(self) -> list[bytes]:
        """Give the public keys of imported keys."""
        return [bytes.fromhex(document["public"]) for _, document in self._key_documents()]

    def state(self) -> WalletState:
        """Read the state; a new one if there is none. Raises KeystoreDamaged, KeystoreUnreadable."""
        try:
            return WalletState.decode(self.state_file.read_bytes())
        except FileNotFoundError:
            return WalletState()
        except OSError as error:
            raise KeystoreUnreadable(self.state_file, f"cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise KeystoreDamaged(
                self.state_file,
                "is damaged; delete it: addresses are found again on the chain, add own locks again",
            ) from error

    def save(self, wallet: UtxoWallet, locks: list[bytes]) -> None:
        """Keep what a wallet learnt. Raises KeystoreUnreadable."""
        before = self.state()
        sent = [*before.sent, *(wallet.own_transactions - set(before.sent))]
        state = WalletState(wallet.issued, locks, sent)
        if state != before:
            replace_file(self.state_file, state.encode())

    def add_lock(self, witness_script: bytes) -> None:
        """Remember a witness script that pays this wallet. Raises ScriptError outside the closed set."""
        parse_spend_script(witness_script)
        state = self.state()
        if witness_script not in state.locks:
            state.locks.append(witness_script)
            replace_file(self.state_file, state.encode())

    def open(self, chain: ChainSource) -> UtxoWallet:
        """Give the wallet without its private keys. Raises KeystoreError."""
        state = self.state()
        book = ScriptBook(self.spec, self.accounts(), self.imported(), state.locks)
        return UtxoWallet(self.spec, chain, book, issued=state.issued, own_transactions=state.sent)

    def unlock(self, password: str) -> KeyRing:
        """Give the private keys. Raises WrongPassword, NoPrivateKeys, KeystoreError."""
        document, keys = self.document(), self._key_documents()
        if "crypto" not in document and not keys:
            raise NoPrivateKeys("this wallet only watches; sign where the mnemonic or the key is")
        master = None
        if "crypto" in document:
            secret = orjson.loads(open_sealed(self.file, document, password).reveal())
            master = MasterKey.from_mnemonic(secret["mnemonic"], secret["passphrase"])
        return KeyRing(master, [open_sealed(path, item, password).reveal() for path, item in keys])

    def _key_documents(self) -> list[tuple[Path, Document]]:
        paths = sorted((self.path / "keys").glob("*.json"))
        return [(path, read_document(path)) for path in paths]


def list_wallets(folder: Path) -> list[str]:
    """Give the names of the wallets in a folder."""
    return sorted(path.parent.name for path in folder.glob("*/wallet.json"))


def parse_account_key(text: str, purpose: Purpose | None = None) -> Account:
    """Read an extended public key, with its origin in a descriptor's brackets or without.

    Raises InvalidExtendedKey.
    """
    text = text.strip()
    match = _ORIGIN.fullmatch(text)
    if match is None:
        if text.startswith("["):
            raise InvalidExtendedKey("the origin is written [fingerprint/84'/1'/0'] before the key")
        return Account.parse(text, purpose)
    path = tuple(_step(step) for step in match[2].split("/")[1:])
    return Account.parse(match[3], purpose, path, bytes.fromhex(match[1]))


def _step(text: str) -> int:
    number = int(text.rstrip("'h"))
    if number >= 1 << 31:
        raise InvalidExtendedKey(f"a step of a path is below 2147483648, not {number}")
    return number + (1 << 31 if text[-1] in "'h" else 0)


def read_key_file(path: Path, ask_password: Callable[[], str]) -> bytes:
    """Give the key of a Web3 v3 file of any program; asks for its password once the file is sound.

    Raises KeystoreError.
    """
    if not path.exists():
        raise KeystoreMissing(path, "there is no such file")
    return open_sealed(path, read_foreign(path), ask_password()).reveal()

"""What `ioex devnet` says about its DPoS chain: accounts, endpoints, settings to paste into other tools."""

from typing import Any, Protocol

from ioex_chain.cli.options import out
from ioex_chain.crypto.address import checksum_account
from ioex_chain.evm.types import WEI
from ioex_chain.spec.model import NetworkSpec
from ioex_chain.wallet.hd import DEV_MNEMONIC, MasterKey, dpos_address

SYMBOL = "IOEX"
SEARCHED = 64
"""Accounts of the mnemonic among which those of genesis are looked for."""


class DposRunning(Protocol):
    """The DPoS half of a node that is up."""

    @property
    def rpc_url(self) -> str:
        """Where Ethereum's JSON-RPC is."""
        ...

    @property
    def p2p_url(self) -> str | None:
        """Where other nodes reach it; None when it does not listen."""
        ...

    @property
    def chain_id(self) -> int:
        """EIP-155's chain id."""
        ...

    @property
    def arbitrators(self) -> int:
        """How many of the set's keys seal and vote in this node."""
        ...


def _dpos(running: object) -> DposRunning | None:
    found: DposRunning | None = getattr(running, "dpos", None)
    return found


def dpos_places(running: object) -> dict[str, Any] | None:
    """Give where the DPoS chain listens; None when the node runs without it."""
    dpos = _dpos(running)
    if dpos is None:
        return None
    return {
        "rpc": dpos.rpc_url,
        "websocket": websocket_url(dpos.rpc_url),
        "p2p": dpos.p2p_url,
        "chain_id": dpos.chain_id,
        "arbitrators": dpos.arbitrators,
    }


def websocket_url(rpc_url: str) -> str:
    """Give the same port's WebSocket URL."""
    return "ws" + rpc_url.removeprefix("http")


def dpos_accounts(spec: NetworkSpec) -> list[dict[str, Any]]:
    """Give genesis' accounts of the published mnemonic, with their private keys, as devnets show them."""
    master = MasterKey.from_mnemonic(DEV_MNEMONIC)
    balances = {account.address: account.wei for account in spec.dpos.accounts}
    found = []
    for index in range(SEARCHED):
        private = master.dpos_key(index)
        wei = balances.get(dpos_address(private))
        if wei is not None:
            address = checksum_account(dpos_address(private))
            found.append(
                {"index": index, "address": address, "private_key": "0x" + private.hex(), "wei": str(wei)}
            )
    return found


def dpos_facts(spec: NetworkSpec, running: object, solo: bool = False) -> dict[str, Any]:
    """Give everything that a devnet says about the DPoS chain; nothing when the node runs without it."""
    dpos = _dpos(running)
    if dpos is None:
        return {}
    return {
        "dpos_block_time": spec.dpos.block_time,
        "dpos_accounts": dpos_accounts(spec),
        "solo": solo,
        "hardhat": hardhat(dpos),
        "foundry": foundry(dpos),
        "metamask": metamask(dpos),
    }


def hardhat(dpos: DposRunning) -> str:
    """Give the network's entry for hardhat.config.ts."""
    return (
        "networks: {\n"
        "  ioex: {\n"
        '    type: "http",  // Hardhat 3 wants it, Hardhat 2 does not\n'
        f'    url: "{dpos.rpc_url}",\n'
        f"    chainId: {dpos.chain_id},\n"
        f'    accounts: {{ mnemonic: "{DEV_MNEMONIC}" }},\n'
        "  },\n"
        "}"
    )


def foundry(dpos: DposRunning) -> str:
    """Give what goes into foundry.toml."""
    return f'[profile.default]\nevm_version = "prague"\n\n[rpc_endpoints]\nioex = "{dpos.rpc_url}"'


def metamask(dpos: DposRunning) -> dict[str, Any]:
    """Give what MetaMask asks for when a network is added by hand."""
    return {
        "network_name": "ioeX devnet",
        "rpc_url": dpos.rpc_url,
        "chain_id": dpos.chain_id,
        "currency_symbol": SYMBOL,
    }


def show_dpos(facts: dict[str, Any]) -> None:
    """Print it for people; nothing when the node runs without the DPoS chain."""
    places = facts.get("dpos")
    if not places:
        return
    _line(f"\n[bold]DPoS chain[/] {places['chain_id']}, a block every {facts['dpos_block_time']} s")
    _line(f"Ethereum    {places['rpc']}   {places['websocket']}")
    if places["p2p"]:
        _line(f"peers       {places['p2p']}")
    _line(f"arbitrators {places['arbitrators']} in this process" + (", solo" if facts["solo"] else ""))
    _line(f"\naccount, private key (published; never use it elsewhere), {SYMBOL}")
    for row in facts["dpos_accounts"]:
        # Whole lines, however narrow the terminal is: they are there to be copied.
        balance = f"{int(row['wei']) // WEI:,}"
        _line(f"{row['index']:>2}  {row['address']}  {row['private_key']}  {balance}")
    for title, text in (("hardhat.config.ts", facts["hardhat"]), ("foundry.toml", facts["foundry"])):
        _line(f"\n[bold]{title}[/]")
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    asked = facts["metamask"]
    _line(
        f"\n[bold]MetaMask[/]    {asked['network_name']}, {asked['rpc_url']}, chain id {asked['chain_id']}, "
        f"symbol {asked['currency_symbol']}"
    )
    if facts["dpos_accounts"]:
        first = facts["dpos_accounts"][0]["address"]
        _line(f"[bold]cast[/]        cast balance {first} --rpc-url {places['rpc']}")
    _line("[bold]more money[/]  ioex faucet 0x.. 100 --network devnet\n")


def _line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)

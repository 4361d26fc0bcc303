"""From a file's `dpos` section to the frozen DposSpec: members, owner, balances and what backs them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ioex_chain.crypto.address import checksum_account, deposit_script, parse_account
from ioex_chain.spec.document import DposDocument, MemberDocument, format_amount, parse_amount
from ioex_chain.spec.errors import BadField, Unbacked
from ioex_chain.spec.model import (
    Allocation,
    DposSpec,
    GenesisAccount,
    GenesisMember,
    SlotLength,
    SystemContracts,
    TokenSpec,
)

WEI_PER_UNIT = 10**10
"""Wei in one unit of the PoW chain (docs/protocol.md section 1)."""


def dpos_spec(document: DposDocument, contracts: SystemContracts, token: TokenSpec) -> DposSpec:
    """Check the section against every rule and give the value. Raises BadField, Unbacked."""
    raw: dict[str, Any] = document.model_dump()
    raw["owner"] = parse_account(document.owner)
    raw["owner_keys"] = _distinct("dpos.owner_keys", [parse_account(key) for key in document.owner_keys])
    raw["slot_lengths"] = _slot_lengths(document)
    raw["seeds"] = tuple(document.seeds)
    raw["activations"] = tuple(document.activations)
    raw["members"] = _members(document)
    raw["accounts"] = tuple(
        GenesisAccount(parse_account(row.address), parse_amount(row.amount) * WEI_PER_UNIT)
        for row in document.accounts
    )
    spec = DposSpec(**raw)
    if spec.owner_quorum > len(spec.owner_keys):
        raise BadField("dpos.owner_quorum", f"only {len(spec.owner_keys)} keys can confirm")
    if spec.owner in contracts.addresses.values():
        raise BadField("dpos.owner", "is the address of a system contract")
    if list(spec.activations) != sorted(set(spec.activations)):
        raise BadField("dpos.activations", "heights must rise")
    _check_accounts(spec, contracts, token.allocations)
    return spec


def _distinct(field: str, addresses: Sequence[bytes]) -> tuple[bytes, ...]:
    if len(set(addresses)) != len(addresses):
        raise BadField(field, "one address stands twice")
    return tuple(addresses)


def _slot_lengths(document: DposDocument) -> tuple[SlotLength, ...]:
    slots = [row.slot for row in document.slot_lengths]
    if slots != sorted(set(slots)) or any(slot % document.seats for slot in slots):
        raise BadField("dpos.slot_lengths", "slots must rise and begin rounds (multiples of seats)")
    return tuple(SlotLength(row.slot, row.seconds) for row in document.slot_lengths)


def _members(document: DposDocument) -> tuple[GenesisMember, ...]:
    members = tuple(map(_member, document.members))
    _distinct("dpos.members", [member.key for member in members])
    _distinct("dpos.members", [member.operator for member in members])
    return members[: document.seats]


def _member(row: MemberDocument) -> GenesisMember:
    payout = parse_account(row.payout)
    return GenesisMember(
        parse_account(row.key), payout, parse_account(row.operator) if row.operator else payout, row.name
    )


def _check_accounts(spec: DposSpec, contracts: SystemContracts, allocations: Sequence[Allocation]) -> None:
    """Every balance of the DPoS genesis is backed by genesis outputs to its deposit address, to the unit.

    NodeRewards' balance is line B itself, so it has no row (docs/protocol.md section 6).
    """
    _distinct("dpos.accounts", [account.address for account in spec.accounts])
    system = {*contracts.addresses.values(), spec.owner}
    backing: defaultdict[bytes, int] = defaultdict(int)
    for allocation in allocations:
        backing[allocation.script] += allocation.amount
    wanted = {contracts.node_rewards: backing[deposit_script(contracts.node_rewards)] * WEI_PER_UNIT}
    for index, account in enumerate(spec.accounts):
        if account.address in system:
            raise BadField(f"dpos.accounts.{index}.address", "is the address of a system contract")
        wanted[account.address] = account.wei
    for address, wei in wanted.items():
        paid = backing.pop(deposit_script(address), 0)
        if paid * WEI_PER_UNIT != wei:
            has = f"{checksum_account(address)} has {format_amount(wei // WEI_PER_UNIT)} IOEX"
            raise Unbacked(
                "dpos.accounts", f"{has}, but genesis pays {format_amount(paid)} to its deposit address"
            )
    for allocation in allocations:
        if allocation.script in backing and account_of_deposit(allocation.script):
            raise Unbacked("dpos.accounts", f"{allocation.beneficiary} is a deposit without an account")


def account_of_deposit(script: bytes) -> bytes | None:
    """Give the DPoS address that an output script deposits to; None if it is no deposit."""
    return script[-20:] if script == deposit_script(script[-20:]) else None

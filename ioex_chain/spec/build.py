"""What `ioex genesis build` does: put beneficiaries, times and unsold amounts into a network's document."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from ioex_chain.crypto.address import InvalidAddress, address_to_script, checksum_account
from ioex_chain.spec.consortium import account_of_deposit
from ioex_chain.spec.document import (
    AccountDocument,
    AccountText,
    AllocationDocument,
    AmountText,
    MemberDocument,
    NetworkDocument,
    Strict,
    Unlock,
    format_amount,
    parse_amount,
)
from ioex_chain.spec.errors import BadBeneficiary, BadField, SpecFileUnreadable, WrongShare
from ioex_chain.spec.load import bad_field, to_spec
from ioex_chain.spec.model import MAX_OUTPUT
from ioex_chain.spec.plan import NODE_REWARDS, NODE_REWARDS_LINE, PLAN, PlanLine, line_amounts, split_terms


class Grant(NamedTuple):
    """A part of a plan line for one beneficiary; amount None is the whole line."""

    beneficiary: str
    amount: int | None = None
    key_path: str = ""


class _GrantDocument(Strict):
    beneficiary: str
    amount: AmountText | None
    """None stands for the whole line."""


def _whole_line(value: object) -> object:
    return [{"beneficiary": value, "amount": None}] if isinstance(value, str) else value


_Grants = Annotated[list[_GrantDocument], BeforeValidator(_whole_line)]
_FILE: TypeAdapter[dict[str, _Grants]] = TypeAdapter(dict[str, _Grants])


class Consortium(Strict):
    """Who holds the seats of set 0, and whose word is the owner's."""

    owner_keys: Annotated[list[AccountText], Field(min_length=1, max_length=32)]
    owner_quorum: Annotated[int, Field(ge=1, le=32)]
    members: Annotated[list[MemberDocument], Field(min_length=1, max_length=51)]


def read_consortium(path: Path) -> Consortium:
    """Read a consortium file: owner_keys, owner_quorum, and members as `dpos.members` in a network's file.

    Raises SpecFileUnreadable, BadField.
    """
    try:
        return Consortium.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SpecFileUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise bad_field(error, str(path)) from error


def read_beneficiaries(path: Path) -> dict[str, list[Grant]]:
    """Read a beneficiaries file: {"A": "<beneficiary>", "D": [{"beneficiary": ..., "amount": "..."}, ...]}.

    Raises SpecFileUnreadable, BadField.
    """
    try:
        found = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise SpecFileUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise bad_field(error, str(path)) from error
    return {letter: [_grant(item) for item in items] for letter, items in found.items()}


def _grant(item: _GrantDocument) -> Grant:
    return Grant(item.beneficiary, None if item.amount is None else parse_amount(item.amount))


def current_grants(document: NetworkDocument) -> dict[str, list[Grant]]:
    """Give the beneficiaries that a document has, with their amounts where a line has several."""
    found: dict[str, dict[str, Grant]] = {}
    for row in document.token.allocations:
        line = found.setdefault(row.plan, {})
        before = line.get(row.beneficiary, Grant(row.beneficiary, 0, row.key_path))
        line[row.beneficiary] = before._replace(amount=(before.amount or 0) + parse_amount(row.amount))
    for line in found.values():
        if len(line) == 1:
            line.update({name: grant._replace(amount=None) for name, grant in line.items()})
    return {letter: list(line.values()) for letter, line in found.items()}


def build_document(
    document: NetworkDocument,
    beneficiaries: Mapping[str, Sequence[Grant]],
    unsold: Mapping[str, int],
    genesis_time: int | None = None,
    listing_time: int | None = None,
    consortium: Consortium | None = None,
) -> NetworkDocument:
    """Give the document with these beneficiaries in place of its own, checked as the loader does.

    A line that `beneficiaries` leaves out keeps its own. `unsold` are PoW units of E1 and E2 that move to A.
    Outputs to deposit addresses become balances of the DPoS genesis. Raises GenesisError naming the line.
    """
    for letter in beneficiaries:
        if letter not in PLAN or letter == NODE_REWARDS_LINE:
            raise BadField(letter, "beneficiaries are given for lines A, C, D, E1, E2, E4 and E5")
    grants = {**current_grants(document), **beneficiaries, NODE_REWARDS_LINE: [Grant(NODE_REWARDS)]}
    amounts = line_amounts(unsold)
    rows = [
        row for letter, line in PLAN.items() for row in _rows(line, amounts[letter], grants.get(letter, ()))
    ]
    raw = document.model_dump()
    raw["token"] |= {
        "unsold": {letter: format_amount(amount) for letter, amount in sorted(unsold.items()) if amount},
        "allocations": [row.model_dump() for row in rows],
    }
    raw["dpos"]["accounts"] = [row.model_dump() for row in _accounts(document.pow.address_prefix, rows)]
    if consortium is not None:
        raw["dpos"] |= consortium.model_dump()
    if genesis_time is not None:
        raw["pow"]["genesis_time"] = raw["dpos"]["genesis_time"] = genesis_time
    if listing_time is not None:
        raw["token"]["listing_time"] = listing_time
    try:
        built = NetworkDocument.model_validate(raw)
    except ValidationError as error:
        raise bad_field(error, "(built)") from error
    to_spec(built, "(built)")
    return built


def _accounts(prefix: str, rows: Sequence[AllocationDocument]) -> list[AccountDocument]:
    """Give the DPoS balances that outputs to deposit addresses back, in the order of the outputs."""
    found: dict[bytes, tuple[int, str]] = {}
    for row in rows:
        try:
            account = account_of_deposit(address_to_script(prefix, row.beneficiary))
        except InvalidAddress:  # NodeRewards, pk() or multi(): what is wrong the loader says
            continue
        if account is not None:
            found[account] = (found.get(account, (0, ""))[0] + parse_amount(row.amount), row.key_path)
    return [
        AccountDocument(address=checksum_account(account), amount=format_amount(amount), key_path=path)
        for account, (amount, path) in found.items()
    ]


def _rows(line: PlanLine, amount: int, grants: Sequence[Grant]) -> list[AllocationDocument]:
    if not amount:
        return []
    if not grants:
        raise BadBeneficiary(line.letter, "the line has no beneficiary to keep: give its beneficiaries")
    if len(grants) == 1 and grants[0].amount is None:
        grants = [grants[0]._replace(amount=amount)]
    parts = [grant.amount or 0 for grant in grants]
    if sum(parts) != amount:
        raise WrongShare(
            line.letter,
            f"beneficiaries get {format_amount(sum(parts))} IOEX of {format_amount(amount)}",
        )
    return [
        row
        for grant, part in zip(grants, parts, strict=True)
        for months, share in split_terms(line, part, line.letter)
        for row in _pieces(line, grant, months, share)
    ]


def _pieces(line: PlanLine, grant: Grant, months: int, amount: int) -> list[AllocationDocument]:
    unlock = Unlock(after=line.base, months=months) if months else None
    pieces = [MAX_OUTPUT] * (amount // MAX_OUTPUT) + ([amount % MAX_OUTPUT] if amount % MAX_OUTPUT else [])
    return [
        AllocationDocument(
            plan=line.letter,
            amount=format_amount(piece),
            beneficiary=grant.beneficiary,
            unlock=unlock,
            key_path=grant.key_path,
        )
        for piece in pieces
    ]


def encode_document(document: NetworkDocument) -> str:
    """Write a document as the JSON file that the loader reads."""
    return document.model_dump_json(indent=2, exclude_defaults=True) + "\n"

# pragma version ^0.4.0
"""
@notice Keeps numbers below a cap that its deployer chose.
"""

struct Entry:
    owner: address
    amount: uint256

event Stored:
    owner: indexed(address)
    label: indexed(String[32])
    amount: uint256

OWNER: immutable(address)
CAP: immutable(uint256)
NAME: immutable(String[32])
total: public(uint256)
entries: public(DynArray[Entry, 16])


@deploy
@payable
def __init__(cap: uint256, name: String[32], first: DynArray[Entry, 16]):
    OWNER = msg.sender
    CAP = cap
    NAME = name
    for one: Entry in first:
        self.entries.append(one)
        self.total += one.amount


@external
def store(label: String[32], amount: uint256) -> uint256:
    assert self.total + amount <= CAP, "over the cap"
    self.total += amount
    self.entries.append(Entry(owner=msg.sender, amount=amount))
    log Stored(owner=msg.sender, label=label, amount=amount)
    return self.total


@external
def overflow(amount: uint8) -> uint8:
    return amount + 200


@external
@payable
def pay():
    pass


@external
@view
def facts() -> (address, uint256, String[32], bool):
    return OWNER, CAP, NAME, True

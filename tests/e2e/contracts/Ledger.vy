# pragma version ^0.4.0
"""
@notice A small token, with what clients trip over: events, reverts, panics, structs, a payable function.
"""

struct Line:
    who: address
    amount: uint256

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Received:
    sender: indexed(address)
    amount: uint256

NAME: immutable(String[32])
OWNER: immutable(address)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
lines: DynArray[Line, 8]


@deploy
@payable
def __init__(name: String[32], supply: uint256):
    NAME = name
    OWNER = msg.sender
    self.totalSupply = supply
    self.balanceOf[msg.sender] = supply
    log Transfer(sender=empty(address), receiver=msg.sender, amount=supply)


@external
@view
def name() -> String[32]:
    return NAME


@external
def transfer(receiver: address, amount: uint256) -> bool:
    assert self.balanceOf[msg.sender] >= amount, "balance too low"
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
    if len(self.lines) < 8:
        self.lines.append(Line(who=receiver, amount=amount))
    log Transfer(sender=msg.sender, receiver=receiver, amount=amount)
    return True


@external
@view
def history() -> DynArray[Line, 8]:
    return self.lines


@external
@payable
def deposit():
    log Received(sender=msg.sender, amount=msg.value)


@external
def onlyOwner():
    assert msg.sender == OWNER, "not the owner"


@external
@pure
def divide(a: uint256, b: uint256) -> uint256:
    return a // b


@external
@view
def where() -> (uint256, uint256, address):
    return block.number, block.timestamp, msg.sender

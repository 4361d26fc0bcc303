# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title GasPoints
@license MIT
@notice GAS: points for accepted work, which nobody can hand on (docs/protocol.md section 5.7).
@dev Wallets may show them as an ERC-20 token; whatever would move them reverts. Only Workload mints.
"""

interface NodeRegistry:
    def workFacts(number: uint256) -> (address, address, uint256): view


struct Change:
    value: uint256
    time: uint256


event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256


event Minted:
    node: indexed(uint256)
    owner: indexed(address)
    epoch: indexed(uint256)
    amount: uint256


event ChangeAnnounced:
    parameter: indexed(uint256)
    value: uint256
    time: uint256


event ChangeApplied:
    parameter: indexed(uint256)
    value: uint256


event ChangeCancelled:
    parameter: indexed(uint256)


PARAMETERS: constant(uint256) = 8  # the points that level 1, 2, ... 8 needs
MAX_THRESHOLD: constant(uint256) = 10**24
GRACE: constant(uint256) = 30 * 86400

name: public(constant(String[18])) = "ioeX contribution"
symbol: public(constant(String[3])) = "GAS"
decimals: public(constant(uint8)) = 6

owner: public(address)
ownerDelay: public(uint256)  # seconds; never changes
workload: public(address)
parameters: public(uint256[PARAMETERS])
changes: public(HashMap[uint256, Change])
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
pointsOf: public(HashMap[uint256, uint256])


# --- the owner's parameters ------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@internal
@view
def _bounds(parameter: uint256) -> (uint256, uint256):
    """
    @dev Thresholds rise: each is above the one before and below the next.
    """
    assert parameter < PARAMETERS, "no such parameter"
    least: uint256 = 1
    most: uint256 = MAX_THRESHOLD
    if parameter != 0:
        least = self.parameters[parameter - 1] + 1
    if parameter != PARAMETERS - 1:
        most = self.parameters[parameter + 1] - 1
    return least, most


@internal
@view
def _check_value(parameter: uint256, amount: uint256):
    least: uint256 = 0
    most: uint256 = 0
    least, most = self._bounds(parameter)
    assert amount >= least and amount <= most, "out of bounds"


@external
def announce(parameter: uint256, amount: uint256):
    """
    @notice Announce a parameter's new value; anybody may apply it from `ownerDelay` seconds on, for 30 days.
    """
    self._check_owner()
    self._check_value(parameter, amount)
    time: uint256 = block.timestamp + self.ownerDelay
    self.changes[parameter] = Change(value=amount, time=time)
    log ChangeAnnounced(parameter=parameter, value=amount, time=time)


@external
def apply(parameter: uint256):
    """
    @notice Put an announced value in force.
    """
    change: Change = self.changes[parameter]
    assert change.time != 0, "nothing announced"
    assert block.timestamp >= change.time, "too early"
    assert block.timestamp <= change.time + GRACE, "lapsed"
    self._check_value(parameter, change.value)
    self.changes[parameter] = empty(Change)
    self.parameters[parameter] = change.value
    log ChangeApplied(parameter=parameter, value=change.value)


@external
def cancel(parameter: uint256):
    """
    @notice Take an announcement back.
    """
    self._check_owner()
    assert self.changes[parameter].time != 0, "nothing announced"
    self.changes[parameter] = empty(Change)
    log ChangeCancelled(parameter=parameter)


@external
@view
def bounds(parameter: uint256) -> (uint256, uint256):
    """
    @notice Least and greatest value that the owner may choose.
    """
    return self._bounds(parameter)


# --- points ----------------------------------------------------------------------------------------------


@external
def mint(node: uint256, owner: address, epoch: uint256, amount: uint256):
    """
    @notice Add the points of a node's final epoch: Workload's call.
    """
    assert msg.sender == self.workload, "only Workload"
    self.pointsOf[node] += amount
    self.balanceOf[owner] += amount
    self.totalSupply += amount
    log Minted(node=node, owner=owner, epoch=epoch, amount=amount)
    log Transfer(sender=empty(address), receiver=owner, value=amount)


@external
@view
def level(node: uint256) -> uint256:
    """
    @notice A node's level, 0 to 8: how many thresholds its points reach.
    """
    points: uint256 = self.pointsOf[node]
    reached: uint256 = 0
    for threshold: uint256 in self.parameters:
        if points < threshold:
            break
        reached += 1
    return reached


# --- what a token has and this one has not ---------------------------------------------------------------


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Always reverts.
    """
    raise "GAS cannot be transferred"


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Always reverts.
    """
    raise "GAS cannot be transferred"


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Always reverts.
    """
    raise "GAS cannot be transferred"


@external
@view
def allowance(owner: address, spender: address) -> uint256:
    """
    @notice Always zero.
    """
    return 0

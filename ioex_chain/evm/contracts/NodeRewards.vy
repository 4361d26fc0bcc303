# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title NodeRewards
@license MIT
@notice The node rewards plan: 70,000,000 IOEX for the nodes' work, and the yearly retirement
        (docs/protocol.md section 5.7).
@dev Genesis gives the balance; nothing is ever minted. Opening a final epoch sets its budget aside once: a quota
     for each bootstrap node that was up, the rest for points. What is set aside is touched by nothing else, so
     paid + retired + diverted + balance is constant, but for what anybody adds.
"""

interface NodeRegistry:
    def workFacts(number: uint256) -> (address, address, uint256): view


interface Workload:
    def currentEpoch() -> uint256: view
    def totalsOf(epoch: uint256) -> (bool, uint256, uint256): view
    def outcome(epoch: uint256, node: uint256) -> (uint256, bool): view


interface Bridge:
    def counted() -> uint256: view
    def retire(): payable


struct Change:
    value: uint256
    time: uint256


event Opened:
    epoch: indexed(uint256)
    quota: uint256
    bootstraps: uint256
    pool: uint256
    points: uint256


event Claimed:
    node: indexed(uint256)
    owner: indexed(address)
    epoch: indexed(uint256)
    amount: uint256


event Expired:
    epoch: indexed(uint256)
    amount: uint256


event Retired:
    amount: uint256
    years: uint256


event Diverted:
    destination: indexed(address)
    amount: uint256
    years: uint256


event ChangeAnnounced:
    parameter: indexed(uint256)
    value: uint256
    time: uint256


event ChangeApplied:
    parameter: indexed(uint256)
    value: uint256


event ChangeCancelled:
    parameter: indexed(uint256)


# Parameters.
DAILY_BUDGET: constant(uint256) = 0  # wei for an epoch
BOOTSTRAP_QUOTA: constant(uint256) = 1  # wei for a qualified bootstrap node and epoch, out of the budget
CLAIM_EPOCHS: constant(uint256) = 2  # epochs after which what was not claimed goes back to the plan
DESTINATION: constant(uint256) = 3  # account that the yearly amount goes to; 0: it is retired
POINT_CAP: constant(uint256) = 4  # wei that a point earns at most: a day with little work costs little
PARAMETERS: constant(uint256) = 5
MAX_BUDGET: constant(uint256) = 100000 * 10**18
MAX_QUOTA: constant(uint256) = 1000 * 10**18
MAX_POINT_CAP: constant(uint256) = 10**18
MIN_CLAIM_EPOCHS: constant(uint256) = 30
MAX_CLAIM_EPOCHS: constant(uint256) = 3600
GRACE: constant(uint256) = 30 * 86400
REVIEW: constant(uint256) = 720 * 86400  # a destination other than retirement holds for two years of 360 days

YEAR_BLOCKS: constant(uint256) = 259200
YEAR_AMOUNT: constant(uint256) = 220800 * 10**18
POW_UNIT: constant(uint256) = 10**10
MAX_NODES: constant(uint256) = 64
POOL: constant(uint256) = (1 << 128) - 1

owner: public(address)
ownerDelay: public(uint256)  # seconds; this and the addresses never change
nodeRegistry: public(address)
workload: public(address)
bridge: public(address)
parameters: public(uint256[PARAMETERS])
changes: public(HashMap[uint256, Change])
destinationUntil: public(uint256)
reserved: public(uint256)  # set aside for opened epochs and not paid yet
paidTotal: public(uint256)
retiredTotal: public(uint256)
divertedTotal: public(uint256)
budgets: HashMap[uint256, uint256]  # of an opened epoch: quota << 128 | pool
unpaid: public(HashMap[uint256, uint256])  # of an opened epoch
claimed: public(HashMap[uint256, HashMap[uint256, bool]])  # epoch -> node


# --- the owner's parameters ------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@internal
@view
def _available() -> uint256:
    return self.balance - self.reserved


@internal
@view
def _bounds(parameter: uint256) -> (uint256, uint256):
    """
    @dev A budget is never above what is left, and a quota never above the budget.
    """
    assert parameter < PARAMETERS, "no such parameter"
    if parameter == DAILY_BUDGET:
        return self.parameters[BOOTSTRAP_QUOTA], min(MAX_BUDGET, self._available())
    if parameter == BOOTSTRAP_QUOTA:
        return 0, min(MAX_QUOTA, self.parameters[DAILY_BUDGET])
    if parameter == CLAIM_EPOCHS:
        return MIN_CLAIM_EPOCHS, MAX_CLAIM_EPOCHS
    if parameter == POINT_CAP:
        return 0, MAX_POINT_CAP
    return 0, convert(max_value(uint160), uint256)


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
@nonreentrant
def apply(parameter: uint256):
    """
    @notice Put an announced value in force: for epochs that are not opened, and retirements not made.
    """
    change: Change = self.changes[parameter]
    assert change.time != 0, "nothing announced"
    assert block.timestamp >= change.time, "too early"
    assert block.timestamp <= change.time + GRACE, "lapsed"
    self._check_value(parameter, change.value)
    self.changes[parameter] = empty(Change)
    self.parameters[parameter] = change.value
    if parameter == DESTINATION:
        self.destinationUntil = block.timestamp + REVIEW
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


# --- epochs ----------------------------------------------------------------------------------------------


@internal
@view
def _plan(points: uint256, bootstraps: uint256) -> (uint256, uint256):
    """
    @dev Quota of one bootstrap node, and what all points share. Where the quotas are more than the budget all
         get the same less. What neither takes stays in the plan.
    """
    budget: uint256 = min(self.parameters[DAILY_BUDGET], self._available())
    quota: uint256 = 0
    if bootstraps != 0:
        quota = min(self.parameters[BOOTSTRAP_QUOTA], budget // bootstraps)
    return quota, min(budget - quota * bootstraps, points * self.parameters[POINT_CAP])


@internal
@view
def _check_open_for_claims(epoch: uint256):
    now: uint256 = staticcall Workload(self.workload).currentEpoch()
    assert now <= epoch + self.parameters[CLAIM_EPOCHS], "expired"


@internal
def _open(epoch: uint256) -> (uint256, uint256, uint256):
    """
    @dev Gives quota, pool and points. The first call sets the budget aside.
    """
    final: bool = False
    points: uint256 = 0
    bootstraps: uint256 = 0
    final, points, bootstraps = staticcall Workload(self.workload).totalsOf(epoch)
    assert final, "the epoch is not final"
    self._check_open_for_claims(epoch)
    packed: uint256 = self.budgets[epoch]
    if packed != 0:
        return packed >> 128, packed & POOL, points
    quota: uint256 = 0
    pool: uint256 = 0
    quota, pool = self._plan(points, bootstraps)
    amount: uint256 = quota * bootstraps + pool
    assert amount != 0, "nothing to share"
    self.budgets[epoch] = (quota << 128) | pool
    self.unpaid[epoch] = amount
    self.reserved += amount
    log Opened(epoch=epoch, quota=quota, bootstraps=bootstraps, pool=pool, points=points)
    return quota, pool, points


@external
@nonreentrant
def open(epoch: uint256):
    """
    @notice Set a final epoch's budget aside. Anybody may; the first claim does it too.
    """
    assert self.budgets[epoch] == 0, "is open"
    self._open(epoch)


@external
@nonreentrant
def claim(epoch: uint256, nodes: DynArray[uint256, MAX_NODES]) -> uint256:
    """
    @notice Pay what the caller's nodes earned in a final epoch, once for each.
    """
    quota: uint256 = 0
    pool: uint256 = 0
    points: uint256 = 0
    quota, pool, points = self._open(epoch)
    total: uint256 = 0
    for node: uint256 in nodes:
        owner: address = empty(address)
        device: address = empty(address)
        facts: uint256 = 0
        owner, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(node)
        assert owner == msg.sender, "only the node's owner"
        assert not self.claimed[epoch][node], "is claimed"
        amount: uint256 = self._share(epoch, node, quota, pool, points)
        assert amount != 0, "earned nothing"
        self.claimed[epoch][node] = True
        total += amount
        log Claimed(node=node, owner=msg.sender, epoch=epoch, amount=amount)
    assert total != 0, "no nodes"
    assert total <= self.unpaid[epoch], "expired"
    self.unpaid[epoch] -= total
    self.reserved -= total
    self.paidTotal += total
    raw_call(msg.sender, b"", value=total)
    return total


@internal
@view
def _share(epoch: uint256, node: uint256, quota: uint256, pool: uint256, points: uint256) -> uint256:
    earned: uint256 = 0
    qualified: bool = False
    earned, qualified = staticcall Workload(self.workload).outcome(epoch, node)
    amount: uint256 = 0
    if points != 0:
        amount = pool * earned // points
    if qualified:
        amount += quota
    return amount


@external
@nonreentrant
def expire(epoch: uint256):
    """
    @notice Give what nobody claimed of an epoch in time back to the plan. Anybody may.
    """
    now: uint256 = staticcall Workload(self.workload).currentEpoch()
    assert now > epoch + self.parameters[CLAIM_EPOCHS], "too early"
    amount: uint256 = self.unpaid[epoch]
    assert amount != 0, "nothing left"
    self.unpaid[epoch] = 0
    self.reserved -= amount
    log Expired(epoch=epoch, amount=amount)


# --- the yearly amount -----------------------------------------------------------------------------------


@internal
@view
def _due() -> (uint256, uint256):
    years: uint256 = staticcall Bridge(self.bridge).counted() // YEAR_BLOCKS
    return years * YEAR_AMOUNT - self.retiredTotal - self.divertedTotal, years


@internal
@view
def _destination() -> address:
    if block.timestamp > self.destinationUntil:
        return empty(address)
    return convert(convert(self.parameters[DESTINATION], uint160), address)


@external
@nonreentrant
def retire() -> uint256:
    """
    @notice Retire what is due: 220,800 IOEX for every 259,200 counted PoW headers. Anybody may. When the plan has
            less than is due, what it has goes, and the rest stays due.
    """
    due: uint256 = 0
    years: uint256 = 0
    due, years = self._due()
    amount: uint256 = min(due, self._available())
    amount -= amount % POW_UNIT
    assert amount != 0, "nothing is due"
    destination: address = self._destination()
    if destination == empty(address):
        self.retiredTotal += amount
        log Retired(amount=amount, years=years)
        extcall Bridge(self.bridge).retire(value=amount)
    else:
        self.divertedTotal += amount
        log Diverted(destination=destination, amount=amount, years=years)
        raw_call(destination, b"", value=amount)
    return amount


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def available() -> uint256:
    """
    @notice What is left and not set aside.
    """
    return self._available()


@external
@view
def due() -> uint256:
    """
    @notice What is to be retired now, whether the plan has it or not.
    """
    due: uint256 = 0
    years: uint256 = 0
    due, years = self._due()
    return due


@external
@view
def destination() -> address:
    """
    @notice Where the yearly amount goes now; zero when it is retired.
    """
    return self._destination()


@external
@view
def budgetOf(epoch: uint256) -> (bool, uint256, uint256):
    """
    @notice Whether an epoch is open; a bootstrap node's quota; what all points share. What would be set aside now
            while it is not.
    """
    packed: uint256 = self.budgets[epoch]
    if packed != 0:
        return True, packed >> 128, packed & POOL
    final: bool = False
    points: uint256 = 0
    bootstraps: uint256 = 0
    final, points, bootstraps = staticcall Workload(self.workload).totalsOf(epoch)
    quota: uint256 = 0
    pool: uint256 = 0
    quota, pool = self._plan(points, bootstraps)
    return False, quota, pool


@external
@view
def claimable(epoch: uint256, node: uint256) -> uint256:
    """
    @notice What `claim` would pay for a node now; 0 when it is claimed, not final, or expired.
    """
    final: bool = False
    points: uint256 = 0
    bootstraps: uint256 = 0
    final, points, bootstraps = staticcall Workload(self.workload).totalsOf(epoch)
    now: uint256 = staticcall Workload(self.workload).currentEpoch()
    if not final or self.claimed[epoch][node] or now > epoch + self.parameters[CLAIM_EPOCHS]:
        return 0
    packed: uint256 = self.budgets[epoch]
    quota: uint256 = packed >> 128
    pool: uint256 = packed & POOL
    if packed == 0:
        quota, pool = self._plan(points, bootstraps)
    amount: uint256 = self._share(epoch, node, quota, pool, points)
    if packed != 0 and amount > self.unpaid[epoch]:
        return 0
    return amount

# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title NodeRegistry
@license MIT
@notice The carrier nodes: who owns which device, and who may report on them (docs/protocol.md section 5.7).
@dev A node is numbered from 1 for ever. Its key (UID) is an Ed25519 public key, which the EVM cannot check:
     that the node holds it is what the reporters see when they measure its uptime. Its device account signs
     receipts for other nodes' work, and agrees here by a signature. Bootstrap nodes wait for the owner's
     word; their owners are the reporters of Workload, and may hold seats in ArbitratorRegistry.
"""

interface ArbitratorRegistry:
    def partnerByOperator(operator: address) -> uint256: view
    def refreshNode(partner: uint256): nonpayable


struct Node:
    uid: bytes32
    owner: address
    device: address
    region: bytes32
    facts: uint256  # kind | status << 8 | since << 16 | ended << 64 | bond << 112


struct NodeView:
    number: uint256
    uid: bytes32
    owner: address
    device: address
    region: bytes32
    kind: uint256
    status: uint256
    since: uint256
    ended: uint256
    bond: uint256


struct Change:
    value: uint256
    time: uint256


event Registered:
    node: indexed(uint256)
    owner: indexed(address)
    uid: indexed(bytes32)
    kind: uint256
    device: address
    region: bytes32
    bond: uint256


event StatusSet:
    node: indexed(uint256)
    owner: indexed(address)
    status: uint256


event KeysSet:
    node: indexed(uint256)
    uid: indexed(bytes32)
    device: indexed(address)


event RegionSet:
    node: indexed(uint256)
    region: bytes32


event BondReturned:
    node: indexed(uint256)
    owner: indexed(address)
    amount: uint256


event ReporterSet:
    reporter: indexed(address)
    index: uint256
    present: bool


event ChangeAnnounced:
    parameter: indexed(uint256)
    value: uint256
    time: uint256


event ChangeApplied:
    parameter: indexed(uint256)
    value: uint256


event ChangeCancelled:
    parameter: indexed(uint256)


# Kinds.
BOOTSTRAP: constant(uint256) = 1
PEER: constant(uint256) = 2
PHONE: constant(uint256) = 3

# Status.
ACTIVE: constant(uint256) = 1
SUSPENDED: constant(uint256) = 2
RETIRED: constant(uint256) = 3
PENDING: constant(uint256) = 4  # a bootstrap node before the owner's word

# Parameters.
BOND_PEER: constant(uint256) = 0  # wei, bootstrap nodes too
BOND_PHONE: constant(uint256) = 1  # wei
BOND_DELAY: constant(uint256) = 2  # seconds from retiring to having the bond back
PARAMETERS: constant(uint256) = 3
MAX_BOND: constant(uint256) = 1000 * 10**18
MAX_BOND_DELAY: constant(uint256) = 90 * 86400
GRACE: constant(uint256) = 30 * 86400  # an announced change that waits longer lapses

MAX_REPORTERS: constant(uint256) = 64
PAGE: constant(uint256) = 32
STATUS_AT: constant(uint256) = 8
SINCE_AT: constant(uint256) = 16
ENDED_AT: constant(uint256) = 64
BOND_AT: constant(uint256) = 112
BYTE: constant(uint256) = 255
TIME: constant(uint256) = (1 << 48) - 1

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("ioeX NodeRegistry")
DOMAIN_VERSION: constant(bytes32) = keccak256("1")
DEVICE_TYPE: constant(bytes32) = keccak256("Device(address owner,bytes32 uid)")

owner: public(address)
ownerDelay: public(uint256)  # seconds; never changes
arbitratorRegistry: public(address)
parameters: public(uint256[PARAMETERS])
changes: public(HashMap[uint256, Change])
nodeCount: public(uint256)
nodes: HashMap[uint256, Node]
nodeByUid: public(HashMap[bytes32, uint256])
nodeByDevice: public(HashMap[address, uint256])
nodeCountOf: public(HashMap[address, uint256])
owned: HashMap[address, HashMap[uint256, uint256]]  # owner -> place from 0 -> node
bootstrapNodes: public(HashMap[address, uint256])  # active ones, by owner
bondTotal: public(uint256)
reporterCount: public(uint256)
reporters: public(address[MAX_REPORTERS])
reporterEntry: HashMap[address, uint256]  # index + 1 | since << 8


# --- the owner's parameters ------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@internal
@pure
def _bounds(parameter: uint256) -> (uint256, uint256):
    assert parameter < PARAMETERS, "no such parameter"
    return 0, MAX_BOND_DELAY if parameter == BOND_DELAY else MAX_BOND


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


# --- registering -----------------------------------------------------------------------------------------


@internal
@view
def _device_digest(owner: address, uid: bytes32) -> bytes32:
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, chain.id, self))
    return keccak256(concat(x"1901", domain, keccak256(abi_encode(DEVICE_TYPE, owner, uid))))


@internal
def _take_uid(node: uint256, uid: bytes32):
    assert uid != empty(bytes32), "no key"
    assert self.nodeByUid[uid] == 0, "key is registered"
    self.nodeByUid[uid] = node
    self.nodes[node].uid = uid


@internal
def _take_device(node: uint256, uid: bytes32, device: address, v: uint256, r: uint256, s: uint256):
    assert device != empty(address), "no device account"
    assert self.nodeByDevice[device] == 0, "device account is registered"
    if device != msg.sender:
        signer: address = ecrecover(self._device_digest(msg.sender, uid), v, r, s)
        assert signer == device, "not signed by the device account"
    self.nodeByDevice[device] = node
    self.nodes[node].device = device


@external
@payable
def register(
    kind: uint256, uid: bytes32, region: bytes32, device: address, v: uint256, r: uint256, s: uint256
) -> uint256:
    """
    @notice Register a node with exactly its kind's bond; a bootstrap node then waits for `admit`.
    @param kind 1 bootstrap, 2 peer, 3 phone
    @param uid The node's Ed25519 public key
    @param region Text of at most 32 bytes, padded with zeros
    @param device Signs receipts; it signs `deviceDigest(owner, uid)` here, unless it is the caller itself
    @return The node's number
    """
    assert kind >= BOOTSTRAP and kind <= PHONE, "no such kind"
    bond: uint256 = self.parameters[BOND_PHONE if kind == PHONE else BOND_PEER]
    assert msg.value == bond, "not the bond"
    node: uint256 = self.nodeCount + 1
    self.nodeCount = node
    self._take_uid(node, uid)
    self._take_device(node, uid, device, v, r, s)
    status: uint256 = PENDING if kind == BOOTSTRAP else ACTIVE
    self.nodes[node].owner = msg.sender
    self.nodes[node].region = region
    self.nodes[node].facts = kind | (status << STATUS_AT) | (block.timestamp << SINCE_AT) | (bond << BOND_AT)
    place: uint256 = self.nodeCountOf[msg.sender]
    self.owned[msg.sender][place] = node
    self.nodeCountOf[msg.sender] = place + 1
    self.bondTotal += bond
    log Registered(
        node=node, owner=msg.sender, uid=uid, kind=kind, device=device, region=region, bond=bond
    )
    return node


@internal
@view
def _status(node: uint256) -> uint256:
    status: uint256 = (self.nodes[node].facts >> STATUS_AT) & BYTE
    assert status != 0, "no such node"
    return status


@internal
@view
def _check_own(node: uint256):
    assert self._status(node) != RETIRED, "is retired"
    assert msg.sender == self.nodes[node].owner, "only the node's owner"


@external
def setKeys(node: uint256, uid: bytes32, device: address, v: uint256, r: uint256, s: uint256):
    """
    @notice Change a node's key, its device account, or both; what stays is given again, and needs no signature.
    @dev Receipts are checked against the device account at the time when they are handed in.
    """
    self._check_own(node)
    old: Node = self.nodes[node]
    if uid != old.uid:
        self.nodeByUid[old.uid] = 0
        self._take_uid(node, uid)
    if device != old.device:
        self.nodeByDevice[old.device] = 0
        self._take_device(node, uid, device, v, r, s)
    log KeysSet(node=node, uid=uid, device=device)


@external
def setRegion(node: uint256, region: bytes32):
    """
    @notice Say where a node is.
    """
    self._check_own(node)
    self.nodes[node].region = region
    log RegionSet(node=node, region=region)


# --- status ----------------------------------------------------------------------------------------------


@internal
def _set_status(node: uint256, status: uint256):
    facts: uint256 = self.nodes[node].facts
    owner: address = self.nodes[node].owner
    before: uint256 = (facts >> STATUS_AT) & BYTE
    self.nodes[node].facts = (facts & ~(BYTE << STATUS_AT)) | (status << STATUS_AT)
    log StatusSet(node=node, owner=owner, status=status)
    if facts & BYTE != BOOTSTRAP or (before == ACTIVE) == (status == ACTIVE):
        return
    if status == ACTIVE:
        self.bootstrapNodes[owner] += 1
        if self.bootstrapNodes[owner] == 1:
            self._add_reporter(owner)
    else:
        self.bootstrapNodes[owner] -= 1
        if self.bootstrapNodes[owner] == 0:
            self._remove_reporter(owner)
    self._refresh_seat(owner)


@internal
def _add_reporter(reporter: address):
    """
    @dev The 65th owner of a bootstrap node is no reporter until a place is free and a node of his is
         suspended and resumed.
    """
    for index: uint256 in range(MAX_REPORTERS):
        if self.reporters[index] == empty(address):
            self.reporters[index] = reporter
            self.reporterEntry[reporter] = (index + 1) | (block.timestamp << 8)
            self.reporterCount += 1
            log ReporterSet(reporter=reporter, index=index, present=True)
            return


@internal
def _remove_reporter(reporter: address):
    entry: uint256 = self.reporterEntry[reporter]
    if entry == 0:
        return
    index: uint256 = (entry & BYTE) - 1
    self.reporters[index] = empty(address)
    self.reporterEntry[reporter] = 0
    self.reporterCount -= 1
    log ReporterSet(reporter=reporter, index=index, present=False)


@internal
def _refresh_seat(operator: address):
    registry: address = self.arbitratorRegistry
    if registry.codesize == 0:
        return
    partner: uint256 = staticcall ArbitratorRegistry(registry).partnerByOperator(operator)
    if partner != 0:
        extcall ArbitratorRegistry(registry).refreshNode(partner)


@external
@nonreentrant
def admit(node: uint256):
    """
    @notice Admit a bootstrap node that waits.
    """
    self._check_owner()
    assert self._status(node) == PENDING, "does not wait"
    self._set_status(node, ACTIVE)


@external
@nonreentrant
def suspend(node: uint256):
    """
    @notice Stop a node: no work of it counts, and what has not become final can be struck in Workload.
    """
    self._check_owner()
    assert self._status(node) == ACTIVE, "is not active"
    self._set_status(node, SUSPENDED)


@external
@nonreentrant
def resume(node: uint256):
    """
    @notice Let a suspended node work again.
    """
    self._check_owner()
    assert self._status(node) == SUSPENDED, "is not suspended"
    self._set_status(node, ACTIVE)


@external
@nonreentrant
def retire(node: uint256):
    """
    @notice Take a node out for ever: by its owner, or by the consortium's. Key and device account are free again.
    """
    assert self._status(node) != RETIRED, "is retired"
    assert msg.sender == self.nodes[node].owner or msg.sender == self.owner, "only the node's owner"
    self.nodeByUid[self.nodes[node].uid] = 0
    self.nodeByDevice[self.nodes[node].device] = 0
    self.nodes[node].facts |= block.timestamp << ENDED_AT
    self._set_status(node, RETIRED)


@external
@nonreentrant
def reclaim(node: uint256) -> uint256:
    """
    @notice Take the bond of a retired node back, once the delay has passed. Bonds are never forfeited.
    """
    facts: uint256 = self.nodes[node].facts
    assert self._status(node) == RETIRED, "is not retired"
    assert msg.sender == self.nodes[node].owner, "only the node's owner"
    assert block.timestamp >= ((facts >> ENDED_AT) & TIME) + self.parameters[BOND_DELAY], "too early"
    amount: uint256 = facts >> BOND_AT
    assert amount != 0, "no bond"
    self.nodes[node].facts = facts & ((1 << BOND_AT) - 1)
    self.bondTotal -= amount
    log BondReturned(node=node, owner=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)
    return amount


# --- views -----------------------------------------------------------------------------------------------


@internal
@view
def _view(number: uint256) -> NodeView:
    found: Node = self.nodes[number]
    return NodeView(
        number=number,
        uid=found.uid,
        owner=found.owner,
        device=found.device,
        region=found.region,
        kind=found.facts & BYTE,
        status=(found.facts >> STATUS_AT) & BYTE,
        since=(found.facts >> SINCE_AT) & TIME,
        ended=(found.facts >> ENDED_AT) & TIME,
        bond=found.facts >> BOND_AT,
    )


@external
@view
def node(number: uint256) -> NodeView:
    """
    @notice A node; all zero where there is none.
    """
    return self._view(number)


@external
@view
def nodesOf(owner: address, offset: uint256) -> DynArray[NodeView, PAGE]:
    """
    @notice An owner's devices from place `offset` on, oldest first, 32 at most; `nodeCountOf` says how many.
    """
    found: DynArray[NodeView, PAGE] = []
    count: uint256 = self.nodeCountOf[owner]
    for step: uint256 in range(PAGE):
        if offset + step >= count:
            break
        found.append(self._view(self.owned[owner][offset + step]))
    return found


@external
@view
def nodePage(first: uint256) -> DynArray[NodeView, PAGE]:
    """
    @notice All nodes from number `first` on, 32 at most.
    """
    found: DynArray[NodeView, PAGE] = []
    for step: uint256 in range(PAGE):
        if first + step == 0 or first + step > self.nodeCount:
            break
        found.append(self._view(first + step))
    return found


@external
@view
def workFacts(number: uint256) -> (address, address, uint256):
    """
    @notice What Workload asks: owner, device account, kind | status << 8 | since << 16 (48 bits) | ...
    """
    return self.nodes[number].owner, self.nodes[number].device, self.nodes[number].facts


@external
@view
def reporterOf(account: address) -> (uint256, uint256):
    """
    @notice A reporter's place from 1, and since when; zeros for anybody else.
    """
    entry: uint256 = self.reporterEntry[account]
    return entry & BYTE, entry >> 8


@external
@view
def deviceDigest(owner: address, uid: bytes32) -> bytes32:
    """
    @notice What a device account signs to agree: EIP-712, Device(address owner,bytes32 uid).
    """
    return self._device_digest(owner, uid)

# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title Workload
@license MIT
@notice What each node did in each epoch, as others vouch for it (docs/protocol.md section 5.7).
@dev Bytes come by receipts that the counterparty's device account signs (EIP-712); uptime comes by the
     reporters, and counts by the majority, part by part of the epoch. Epoch e takes receipts while it runs and
     for `reportEpochs` after it, challenges for `challengeEpochs` more, and is final then. All sums are kept as
     things happen, so that nobody ever loops over nodes. Points are a function of a node's sums, so what is
     struck is taken off exactly.
"""

interface NodeRegistry:
    def workFacts(number: uint256) -> (address, address, uint256): view
    def reporterOf(account: address) -> (uint256, uint256): view
    def reporterCount() -> uint256: view


interface GasPoints:
    def mint(node: uint256, owner: address, epoch: uint256, amount: uint256): nonpayable


struct Receipt:
    node: uint256  # who worked
    counterparty: uint256  # for whom: the node whose device account signs
    epoch: uint256
    kind: uint256  # 1 relayed, 2 stored, 3 transferred
    amount: uint256  # bytes
    nonce: uint256


struct Work:
    hours: uint256  # 24ths of the epoch that a majority saw
    relayed: uint256
    stored: uint256
    transferred: uint256
    points: uint256
    struck: bool
    settled: bool
    qualified: bool  # a bootstrap node that was up long enough for the quota


struct Rules:
    weights: uint256[4]  # points per 24th, and per GiB relayed, stored, transferred
    reporters: uint256
    quorumShare: uint256
    bootstrapHours: uint256


struct Change:
    value: uint256
    time: uint256


event EpochOpened:
    epoch: indexed(uint256)
    rules: uint256


event ReceiptCounted:
    node: indexed(uint256)
    counterparty: indexed(uint256)
    epoch: indexed(uint256)
    kind: uint256
    amount: uint256
    nonce: uint256


event UptimeReported:
    node: indexed(uint256)
    reporter: indexed(address)
    epoch: indexed(uint256)
    seen: uint256
    hours: uint256


event ReceiptStruck:
    node: indexed(uint256)
    counterparty: indexed(uint256)
    epoch: indexed(uint256)
    kind: uint256
    amount: uint256
    nonce: uint256
    reason: uint256


event Objected:
    node: indexed(uint256)
    reporter: indexed(address)
    epoch: indexed(uint256)


event DayStruck:
    node: indexed(uint256)
    epoch: indexed(uint256)
    reason: uint256


event Settled:
    node: indexed(uint256)
    owner: indexed(address)
    epoch: indexed(uint256)
    points: uint256


event ChangeAnnounced:
    parameter: indexed(uint256)
    value: uint256
    time: uint256


event ChangeApplied:
    parameter: indexed(uint256)
    value: uint256


event ChangeCancelled:
    parameter: indexed(uint256)


# Why something was struck.
DENIED: constant(uint256) = 1  # the counterparty signed a denial
CONFLICT: constant(uint256) = 2  # the counterparty signed two amounts under one nonce
SUSPENDED_NODE: constant(uint256) = 3  # the node, or the counterparty of a receipt, is suspended
OBJECTED: constant(uint256) = 4  # a majority of the reporters objects

KINDS: constant(uint256) = 3
HOURS: constant(uint256) = 24
GIB: constant(uint256) = 2**30
MAX_BATCH: constant(uint256) = 32
MAX_NODES: constant(uint256) = 64
RECEIPT_GAS: constant(uint256) = 400000  # twice what a receipt can cost

# Parameters.
WEIGHT_UPTIME: constant(uint256) = 0  # points (1e-6 GAS) per 24th of an epoch
WEIGHT_RELAYED: constant(uint256) = 1  # points per GiB
WEIGHT_STORED: constant(uint256) = 2
WEIGHT_TRANSFERRED: constant(uint256) = 3
PAIR_CAP: constant(uint256) = 4  # bytes of one kind that one counterparty may sign for one node in an epoch
GIVER_CAP: constant(uint256) = 5  # bytes of one kind that one counterparty may sign for all in an epoch
QUORUM_SHARE: constant(uint256) = 6  # per mille of the reporters that must be exceeded
BOOTSTRAP_HOURS: constant(uint256) = 7  # 24ths of uptime that earn a bootstrap node its quota
PARAMETERS: constant(uint256) = 8
MAX_WEIGHT: constant(uint256) = 10**12
MIN_CAP: constant(uint256) = GIB
MAX_CAP: constant(uint256) = 2**50
MIN_QUORUM_SHARE: constant(uint256) = 500
MAX_QUORUM_SHARE: constant(uint256) = 800
GRACE: constant(uint256) = 30 * 86400

# Of a node in NodeRegistry.
BOOTSTRAP: constant(uint256) = 1
ACTIVE: constant(uint256) = 1
SUSPENDED: constant(uint256) = 2
BYTE: constant(uint256) = 255
TIME: constant(uint256) = (1 << 48) - 1

# A node's epoch in one word: relayed | stored << 64 | transferred << 128 | hours << 192 | flags << 200.
LANE: constant(uint256) = (1 << 64) - 1
HOURS_AT: constant(uint256) = 192
STRUCK: constant(uint256) = 1 << 200
SETTLED: constant(uint256) = 1 << 201
QUALIFIED: constant(uint256) = 1 << 202

# Rules of an epoch: four weights of 48 bits | reporters << 192 | share << 200 | hours << 216 | known << 255.
WEIGHT: constant(uint256) = (1 << 48) - 1
KNOWN: constant(uint256) = 1 << 255

# Who saw a node: 24 counters of 7 bits | one bit for each reporter << 168 | owner reports << 232 | known << 233.
COUNTER: constant(uint256) = 127
REPORTERS_AT: constant(uint256) = 168
OWNER_REPORTS: constant(uint256) = 1 << 232
SEEN: constant(uint256) = 1 << 233

# Of a receipt: amount | state << 64.
COUNTED: constant(uint256) = 1 << 64
STRUCK_RECEIPT: constant(uint256) = 2 << 64

POINTS: constant(uint256) = (1 << 128) - 1
ONE_QUALIFIED: constant(uint256) = 1 << 128

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("ioeX Workload")
DOMAIN_VERSION: constant(bytes32) = keccak256("1")
RECEIPT_TYPE: constant(bytes32) = keccak256(
    "Receipt(uint256 node,uint256 counterparty,uint256 epoch,uint256 kind,uint256 amount,uint256 nonce)"
)
SUBMIT_RECEIPT: constant(bytes4) = method_id(
    "submitReceipt((uint256,uint256,uint256,uint256,uint256,uint256),bytes)", output_type=bytes4
)
DENIAL_TYPE: constant(bytes32) = keccak256(
    "Denial(uint256 node,uint256 counterparty,uint256 epoch,uint256 kind,uint256 nonce)"
)

owner: public(address)
ownerDelay: public(uint256)  # seconds; this and the next five never change
nodeRegistry: public(address)
gasPoints: public(address)
epochSeconds: public(uint256)
reportEpochs: public(uint256)
challengeEpochs: public(uint256)
parameters: public(uint256[PARAMETERS])
changes: public(HashMap[uint256, Change])
epochRules: HashMap[uint256, uint256]
totals: HashMap[uint256, uint256]  # points | qualified bootstrap nodes << 128
work: HashMap[uint256, HashMap[uint256, uint256]]  # epoch -> node
sightings: HashMap[uint256, HashMap[uint256, uint256]]  # epoch -> node
objections: HashMap[uint256, HashMap[uint256, uint256]]  # epoch -> node -> bits of the reporters
receipts: HashMap[bytes32, uint256]
pairs: HashMap[uint256, HashMap[uint256, HashMap[uint256, uint256]]]  # epoch -> node -> counterparty
signed: HashMap[uint256, HashMap[uint256, uint256]]  # epoch -> counterparty


# --- the owner's parameters ------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@internal
@pure
def _bounds(parameter: uint256) -> (uint256, uint256):
    assert parameter < PARAMETERS, "no such parameter"
    if parameter <= WEIGHT_TRANSFERRED:
        return 0, MAX_WEIGHT
    if parameter <= GIVER_CAP:
        return MIN_CAP, MAX_CAP
    if parameter == QUORUM_SHARE:
        return MIN_QUORUM_SHARE, MAX_QUORUM_SHARE
    return 1, HOURS


@internal
@pure
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
    @notice Put an announced value in force: for epochs that nobody has reported anything of yet.
    """
    change: Change = self.changes[parameter]
    assert change.time != 0, "nothing announced"
    assert block.timestamp >= change.time, "too early"
    assert block.timestamp <= change.time + GRACE, "lapsed"
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


# --- epochs ----------------------------------------------------------------------------------------------


@internal
@view
def _epoch() -> uint256:
    return block.timestamp // self.epochSeconds


@internal
@view
def _final_from(epoch: uint256) -> uint256:
    return epoch + 1 + self.reportEpochs + self.challengeEpochs


@internal
@view
def _check_challengeable(epoch: uint256):
    assert self._epoch() < self._final_from(epoch), "the epoch is final"


@internal
@view
def _present_rules() -> uint256:
    reporters: uint256 = staticcall NodeRegistry(self.nodeRegistry).reporterCount()
    return (
        KNOWN
        | self.parameters[WEIGHT_UPTIME]
        | (self.parameters[WEIGHT_RELAYED] << 48)
        | (self.parameters[WEIGHT_STORED] << 96)
        | (self.parameters[WEIGHT_TRANSFERRED] << 144)
        | (reporters << 192)
        | (self.parameters[QUORUM_SHARE] << 200)
        | (self.parameters[BOOTSTRAP_HOURS] << 216)
    )


@internal
def _rules(epoch: uint256) -> uint256:
    """
    @dev The first thing that is handed in for an epoch fixes its rules, and how many reporters it has.
    """
    rules: uint256 = self.epochRules[epoch]
    if rules == 0:
        rules = self._present_rules()
        self.epochRules[epoch] = rules
        log EpochOpened(epoch=epoch, rules=rules)
    return rules


@internal
@pure
def _points(work: uint256, rules: uint256) -> uint256:
    """
    @dev Bytes count for the hours in which the node was seen: receipts alone, which two accounts of one person
         can write each other, earn nothing.
    """
    if work & STRUCK != 0:
        return 0
    seen: uint256 = (work >> HOURS_AT) & BYTE
    served: uint256 = (work & LANE) * ((rules >> 48) & WEIGHT) // GIB
    served += ((work >> 64) & LANE) * ((rules >> 96) & WEIGHT) // GIB
    served += ((work >> 128) & LANE) * ((rules >> 144) & WEIGHT) // GIB
    return seen * (rules & WEIGHT) + served * seen // HOURS


@internal
@pure
def _is_qualified(work: uint256) -> bool:
    return work & (QUALIFIED | STRUCK) == QUALIFIED


@internal
def _set_work(epoch: uint256, node: uint256, before: uint256, after: uint256, rules: uint256):
    """
    @dev The one place that changes a node's epoch: the epoch's totals follow exactly.
    """
    total: uint256 = self.totals[epoch]
    total = total - self._points(before, rules) + self._points(after, rules)
    if self._is_qualified(before) and not self._is_qualified(after):
        total -= ONE_QUALIFIED
    elif self._is_qualified(after) and not self._is_qualified(before):
        total += ONE_QUALIFIED
    self.totals[epoch] = total
    self.work[epoch][node] = after


# --- receipts --------------------------------------------------------------------------------------------


@internal
@view
def _digest(structHash: bytes32) -> bytes32:
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, chain.id, self))
    return keccak256(concat(x"1901", domain, structHash))


@internal
@view
def _receipt_digest(receipt: Receipt) -> bytes32:
    return self._digest(keccak256(abi_encode(RECEIPT_TYPE, receipt)))


@internal
@view
def _denial_digest(receipt: Receipt) -> bytes32:
    return self._digest(
        keccak256(
            abi_encode(
                DENIAL_TYPE, receipt.node, receipt.counterparty, receipt.epoch, receipt.kind, receipt.nonce
            )
        )
    )


@internal
@pure
def _key(receipt: Receipt) -> bytes32:
    """
    @dev What a receipt is counted under: everything but the amount, so that a nonce names one amount.
    """
    return keccak256(
        abi_encode(receipt.node, receipt.counterparty, receipt.epoch, receipt.kind, receipt.nonce)
    )


@internal
@pure
def _signer(digest: bytes32, signature: Bytes[65]) -> address:
    assert len(signature) == 65, "signature length"
    r: uint256 = extract32(signature, 0, output_type=uint256)
    s: uint256 = extract32(signature, 32, output_type=uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    signer: address = ecrecover(digest, v, r, s)
    assert signer != empty(address), "signature"
    return signer


@internal
@view
def _check_parties(receipt: Receipt) -> address:
    """
    @dev Gives the account that must have signed.
    """
    owner: address = empty(address)
    other: address = empty(address)
    device: address = empty(address)
    ignored: address = empty(address)
    facts: uint256 = 0
    owner, ignored, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(receipt.node)
    assert (facts >> 8) & BYTE == ACTIVE, "the node is not active"
    assert ((facts >> 16) & TIME) // self.epochSeconds <= receipt.epoch, "before the node was registered"
    other, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(receipt.counterparty)
    assert (facts >> 8) & BYTE == ACTIVE, "the counterparty is not active"
    assert ((facts >> 16) & TIME) // self.epochSeconds <= receipt.epoch, "before the node was registered"
    assert owner != other, "both have one owner"
    return device


@internal
@pure
def _raise_lane(word: uint256, kind: uint256, amount: uint256, cap: uint256) -> uint256:
    at: uint256 = (kind - 1) * 64
    assert ((word >> at) & LANE) + amount <= cap, "over the cap"
    return word + (amount << at)


@internal
def _take(receipt: Receipt, signature: Bytes[65]):
    epoch: uint256 = receipt.epoch
    now: uint256 = self._epoch()
    assert epoch <= now, "the epoch has not begun"
    assert now <= epoch + self.reportEpochs, "too late for the epoch"
    kind: uint256 = receipt.kind
    assert kind >= 1 and kind <= KINDS, "no such kind"
    amount: uint256 = receipt.amount
    assert amount != 0, "no amount"
    assert amount <= LANE, "over the cap"
    key: bytes32 = self._key(receipt)
    assert self.receipts[key] == 0, "counted before"
    device: address = self._check_parties(receipt)
    assert self._signer(self._receipt_digest(receipt), signature) == device, "not signed by the counterparty"
    before: uint256 = self.work[epoch][receipt.node]
    assert before & STRUCK == 0, "the node's epoch is struck"
    self.receipts[key] = amount | COUNTED
    self.pairs[epoch][receipt.node][receipt.counterparty] = self._raise_lane(
        self.pairs[epoch][receipt.node][receipt.counterparty], kind, amount, self.parameters[PAIR_CAP]
    )
    self.signed[epoch][receipt.counterparty] = self._raise_lane(
        self.signed[epoch][receipt.counterparty], kind, amount, self.parameters[GIVER_CAP]
    )
    after: uint256 = self._raise_lane(before, kind, amount, LANE)
    self._set_work(epoch, receipt.node, before, after, self._rules(epoch))
    log ReceiptCounted(
        node=receipt.node,
        counterparty=receipt.counterparty,
        epoch=epoch,
        kind=kind,
        amount=amount,
        nonce=receipt.nonce,
    )


@external
def submitReceipt(receipt: Receipt, signature: Bytes[65]):
    """
    @notice Hand in a receipt with its counterparty's signature (r, s, v). Anybody may.
    """
    self._take(receipt, signature)


@external
def submitReceipts(
    receipts: DynArray[Receipt, MAX_BATCH], signatures: DynArray[Bytes[65], MAX_BATCH]
) -> uint256:
    """
    @notice Hand in receipts. What does not count is passed over, so that nobody can spoil the others by handing one
            in first or by retiring a node; `submitReceipt` says why.
    @return How many count
    """
    assert len(receipts) == len(signatures), "one signature for each receipt"
    counted: uint256 = 0
    for at: uint256 in range(len(receipts), bound=MAX_BATCH):
        assert msg.gas >= RECEIPT_GAS, "too little gas"  # else a receipt would be passed over for want of it
        data: Bytes[388] = abi_encode(receipts[at], signatures[at], method_id=SUBMIT_RECEIPT)
        if raw_call(self, data, revert_on_failure=False):
            counted += 1
    assert counted != 0, "none counts"
    return counted


# --- uptime ----------------------------------------------------------------------------------------------


@internal
@view
def _reporter(epoch: uint256) -> uint256:
    """
    @dev Gives the caller's bit. A place that is taken over in an epoch reports from the next one on.
    """
    index: uint256 = 0
    since: uint256 = 0
    index, since = staticcall NodeRegistry(self.nodeRegistry).reporterOf(msg.sender)
    assert index != 0, "only a reporter"
    assert since <= epoch * self.epochSeconds, "reports from its next epoch on"
    return 1 << (index - 1)


@internal
@view
def _needed(rules: uint256, sighting: uint256) -> uint256:
    """
    @dev More than the share of those who may report this node: its owner may not.
    """
    reporters: uint256 = (rules >> 192) & BYTE
    if sighting & OWNER_REPORTS != 0 and reporters != 0:
        reporters -= 1
    return reporters * ((rules >> 200) & 65535) // 1000 + 1


@internal
@view
def _sighting(epoch: uint256, node: uint256, owner: address) -> uint256:
    sighting: uint256 = self.sightings[epoch][node]
    if sighting != 0:
        return sighting
    index: uint256 = 0
    since: uint256 = 0
    index, since = staticcall NodeRegistry(self.nodeRegistry).reporterOf(owner)
    return SEEN | OWNER_REPORTS if index != 0 and since <= epoch * self.epochSeconds else SEEN


@internal
def _report(epoch: uint256, node: uint256, seen: uint256, bit: uint256, rules: uint256) -> bool:
    """
    @dev Passes over what another could have changed a moment ago; the rest is the reporter's own fault.
    """
    assert seen < 1 << HOURS, "24 bits"
    owner: address = empty(address)
    device: address = empty(address)
    facts: uint256 = 0
    owner, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(node)
    assert facts != 0, "no such node"
    assert ((facts >> 16) & TIME) // self.epochSeconds <= epoch, "before the node was registered"
    assert owner != msg.sender, "both have one owner"
    before: uint256 = self.work[epoch][node]
    sighting: uint256 = self._sighting(epoch, node, owner)
    if (
        (facts >> 8) & BYTE != ACTIVE
        or before & STRUCK != 0
        or sighting & (bit << REPORTERS_AT) != 0
    ):
        return False
    sighting |= bit << REPORTERS_AT
    needed: uint256 = self._needed(rules, sighting)
    hours: uint256 = 0
    for hour: uint256 in range(HOURS):
        if (seen >> hour) & 1 != 0:
            sighting += 1 << (7 * hour)
        if (sighting >> (7 * hour)) & COUNTER >= needed:
            hours += 1
    self.sightings[epoch][node] = sighting
    if hours != (before >> HOURS_AT) & BYTE:
        after: uint256 = (before & ~(BYTE << HOURS_AT)) | (hours << HOURS_AT)
        if facts & BYTE == BOOTSTRAP and hours >= (rules >> 216) & BYTE:
            after |= QUALIFIED
        self._set_work(epoch, node, before, after, rules)
    log UptimeReported(node=node, reporter=msg.sender, epoch=epoch, seen=seen, hours=hours)
    return True


@external
def reportUptime(
    epoch: uint256, nodes: DynArray[uint256, MAX_NODES], seen: DynArray[uint256, MAX_NODES]
) -> uint256:
    """
    @notice Say in which 24ths of an epoch that is over a reporter saw nodes up; once for each node. Nodes that are
            not active, struck, or reported by the caller before are passed over.
    @param seen For each node 24 bits, bit 0 the first; 0 for a node that it did not see
    @return How many count
    """
    assert len(nodes) == len(seen), "one word for each node"
    now: uint256 = self._epoch()
    assert epoch < now, "the epoch is not over"
    assert now <= epoch + self.reportEpochs, "too late for the epoch"
    bit: uint256 = self._reporter(epoch)
    rules: uint256 = self._rules(epoch)
    counted: uint256 = 0
    for at: uint256 in range(len(nodes), bound=MAX_NODES):
        if self._report(epoch, nodes[at], seen[at], bit, rules):
            counted += 1
    assert counted != 0, "none counts"
    return counted


# --- challenges ------------------------------------------------------------------------------------------


@internal
def _strike_receipt(receipt: Receipt, reason: uint256):
    key: bytes32 = self._key(receipt)
    amount: uint256 = self.receipts[key] & LANE
    self.receipts[key] = amount | STRUCK_RECEIPT
    before: uint256 = self.work[receipt.epoch][receipt.node]
    after: uint256 = before - (amount << ((receipt.kind - 1) * 64))
    self._set_work(receipt.epoch, receipt.node, before, after, self.epochRules[receipt.epoch])
    log ReceiptStruck(
        node=receipt.node,
        counterparty=receipt.counterparty,
        epoch=receipt.epoch,
        kind=receipt.kind,
        amount=amount,
        nonce=receipt.nonce,
        reason=reason,
    )


@internal
@view
def _check_strikable(receipt: Receipt) -> uint256:
    self._check_challengeable(receipt.epoch)
    counted: uint256 = self.receipts[self._key(receipt)]
    assert counted & COUNTED != 0, "no such receipt counts"
    return counted & LANE


@internal
@view
def _device(node: uint256) -> address:
    owner: address = empty(address)
    device: address = empty(address)
    facts: uint256 = 0
    owner, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(node)
    return device


@internal
@view
def _is_suspended(node: uint256) -> bool:
    owner: address = empty(address)
    device: address = empty(address)
    facts: uint256 = 0
    owner, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(node)
    return (facts >> 8) & BYTE == SUSPENDED


@external
def strikeDenied(receipt: Receipt, signature: Bytes[65]):
    """
    @notice Strike a counted receipt that its counterparty denies: it signs Denial(node, counterparty, epoch, kind,
            nonce). The amount given is not looked at.
    """
    counted: uint256 = self._check_strikable(receipt)
    signer: address = self._signer(self._denial_digest(receipt), signature)
    assert signer == self._device(receipt.counterparty), "not signed by the counterparty"
    self._strike_receipt(receipt, DENIED)


@external
def strikeConflict(receipt: Receipt, signature: Bytes[65]):
    """
    @notice Strike a counted receipt by showing another amount that the counterparty signed under its nonce.
    """
    counted: uint256 = self._check_strikable(receipt)
    assert receipt.amount != counted, "the same receipt"
    signer: address = self._signer(self._receipt_digest(receipt), signature)
    assert signer == self._device(receipt.counterparty), "not signed by the counterparty"
    self._strike_receipt(receipt, CONFLICT)


@external
def strikeSuspended(receipt: Receipt):
    """
    @notice Strike a counted receipt whose counterparty is suspended now.
    """
    counted: uint256 = self._check_strikable(receipt)
    assert self._is_suspended(receipt.counterparty), "is not suspended"
    self._strike_receipt(receipt, SUSPENDED_NODE)


@internal
def _strike_day(epoch: uint256, node: uint256, reason: uint256):
    before: uint256 = self.work[epoch][node]
    assert before & STRUCK == 0, "the node's epoch is struck"
    self._set_work(epoch, node, before, before | STRUCK, self._rules(epoch))
    log DayStruck(node=node, epoch=epoch, reason=reason)


@external
def strikeNode(epoch: uint256, node: uint256):
    """
    @notice Strike all that a node did in an epoch, because it is suspended now.
    """
    self._check_challengeable(epoch)
    assert epoch <= self._epoch(), "the epoch has not begun"
    assert self._is_suspended(node), "is not suspended"
    self._strike_day(epoch, node, SUSPENDED_NODE)


@external
def object(epoch: uint256, node: uint256):
    """
    @notice A reporter says that a node's epoch is false. With as many as uptime needs the whole epoch is struck.
    """
    self._check_challengeable(epoch)
    assert epoch <= self._epoch(), "the epoch has not begun"
    bit: uint256 = self._reporter(epoch)
    owner: address = empty(address)
    device: address = empty(address)
    facts: uint256 = 0
    owner, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(node)
    assert facts != 0, "no such node"
    assert owner != msg.sender, "both have one owner"
    entry: uint256 = self.objections[epoch][node]
    assert entry & bit == 0, "counted before"
    entry = (entry | bit) + (1 << 64)
    self.objections[epoch][node] = entry
    log Objected(node=node, reporter=msg.sender, epoch=epoch)
    rules: uint256 = self._rules(epoch)
    if entry >> 64 >= self._needed(rules, self._sighting(epoch, node, owner)):
        self._strike_day(epoch, node, OBJECTED)


# --- settling --------------------------------------------------------------------------------------------


@external
def settle(epoch: uint256, nodes: DynArray[uint256, MAX_NODES]) -> uint256:
    """
    @notice Mint the points of nodes for a final epoch, once for each; anybody may. What has none is passed over.
    """
    assert self._epoch() >= self._final_from(epoch), "the epoch is not final"
    rules: uint256 = self.epochRules[epoch]
    minted: uint256 = 0
    for node: uint256 in nodes:
        entry: uint256 = self.work[epoch][node]
        points: uint256 = self._points(entry, rules)
        if points == 0 or entry & SETTLED != 0:
            continue
        self.work[epoch][node] = entry | SETTLED
        minted += points
        owner: address = empty(address)
        device: address = empty(address)
        facts: uint256 = 0
        owner, device, facts = staticcall NodeRegistry(self.nodeRegistry).workFacts(node)
        log Settled(node=node, owner=owner, epoch=epoch, points=points)
        extcall GasPoints(self.gasPoints).mint(node, owner, epoch, points)
    assert minted != 0, "nothing to settle"
    return minted


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def currentEpoch() -> uint256:
    """
    @notice The number of the epoch that runs: block time // epochSeconds; the UTC day on a public network.
    """
    return self._epoch()


@external
@view
def finalFrom(epoch: uint256) -> uint256:
    """
    @notice The epoch from whose beginning on this one is final.
    """
    return self._final_from(epoch)


@external
@view
def isFinal(epoch: uint256) -> bool:
    """
    @notice Whether an epoch can be struck no more.
    """
    return self._epoch() >= self._final_from(epoch)


@external
@view
def totalsOf(epoch: uint256) -> (bool, uint256, uint256):
    """
    @notice Whether an epoch is final; the points of all its nodes; how many bootstrap nodes earned the quota.
    """
    total: uint256 = self.totals[epoch]
    return self._epoch() >= self._final_from(epoch), total & POINTS, total >> 128


@external
@view
def outcome(epoch: uint256, node: uint256) -> (uint256, bool):
    """
    @notice A node's points in an epoch, and whether it earned the bootstrap quota.
    """
    entry: uint256 = self.work[epoch][node]
    return self._points(entry, self.epochRules[epoch]), self._is_qualified(entry)


@external
@view
def workOf(epoch: uint256, node: uint256) -> Work:
    """
    @notice All that counts for a node in an epoch.
    """
    entry: uint256 = self.work[epoch][node]
    return Work(
        hours=(entry >> HOURS_AT) & BYTE,
        relayed=entry & LANE,
        stored=(entry >> 64) & LANE,
        transferred=(entry >> 128) & LANE,
        points=self._points(entry, self.epochRules[epoch]),
        struck=entry & STRUCK != 0,
        settled=entry & SETTLED != 0,
        qualified=self._is_qualified(entry),
    )


@external
@view
def rulesOf(epoch: uint256) -> Rules:
    """
    @notice The rules of an epoch; the present ones while nothing was handed in for it.
    """
    rules: uint256 = self.epochRules[epoch]
    if rules == 0:
        rules = self._present_rules()
    return Rules(
        weights=[rules & WEIGHT, (rules >> 48) & WEIGHT, (rules >> 96) & WEIGHT, (rules >> 144) & WEIGHT],
        reporters=(rules >> 192) & BYTE,
        quorumShare=(rules >> 200) & 65535,
        bootstrapHours=(rules >> 216) & BYTE,
    )


@external
@view
def sightingsOf(epoch: uint256, node: uint256) -> (uint256[HOURS], uint256, uint256):
    """
    @notice How many reporters saw a node in each 24th; bits of who reported; bits of who objected.
    """
    sighting: uint256 = self.sightings[epoch][node]
    counters: uint256[HOURS] = empty(uint256[HOURS])
    for hour: uint256 in range(HOURS):
        counters[hour] = (sighting >> (7 * hour)) & COUNTER
    return counters, (sighting >> REPORTERS_AT) & LANE, self.objections[epoch][node] & LANE


@external
@view
def usedOf(epoch: uint256, node: uint256, counterparty: uint256) -> (uint256[KINDS], uint256[KINDS]):
    """
    @notice Bytes by kind that a counterparty signed in an epoch: for this node, and for all. Both have caps.
    """
    pair: uint256 = self.pairs[epoch][node][counterparty]
    all: uint256 = self.signed[epoch][counterparty]
    return (
        [pair & LANE, (pair >> 64) & LANE, pair >> 128],
        [all & LANE, (all >> 64) & LANE, all >> 128],
    )


@external
@view
def receiptState(receipt: Receipt) -> (uint256, uint256):
    """
    @notice 0 unknown, 1 counted, 2 struck; and the amount that was counted.
    """
    entry: uint256 = self.receipts[self._key(receipt)]
    return entry >> 64, entry & LANE


@external
@view
def receiptDigest(receipt: Receipt) -> bytes32:
    """
    @notice What the counterparty's device account signs (EIP-712).
    """
    return self._receipt_digest(receipt)


@external
@view
def denialDigest(receipt: Receipt) -> bytes32:
    """
    @notice What it signs to deny a receipt; the amount is not looked at.
    """
    return self._denial_digest(receipt)

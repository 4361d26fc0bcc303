# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title ServiceLedger
@license MIT
@notice Orders of backups and authorisations to read content, with their price in escrow
        (docs/protocol.md section 5.7).
@dev A backup is paid for by its sender and earns its receiver the price evenly over its term. An authorisation is
     paid for by its receiver and earns its sender a part of the price with each download. Whoever reads signs how
     often it has read. What is not earned at the end goes back to who paid. Money is only ever credited; everybody
     withdraws for himself.
"""

struct Entry:
    sender: address
    receiver: address
    contentHash: bytes32
    price: uint256
    released: uint256  # of the price, to who earns it
    facts: uint256  # kind | status << 8 | downloads << 16 | most << 64 | start << 112 | end << 160


struct EntryView:
    sender: address
    receiver: address
    contentHash: bytes32
    price: uint256
    released: uint256
    earned: uint256
    kind: uint256
    status: uint256
    downloads: uint256
    maxDownloads: uint256
    start: uint256
    end: uint256


struct Change:
    value: uint256
    time: uint256


event Offered:
    entry: indexed(uint256)
    sender: indexed(address)
    receiver: indexed(address)
    kind: uint256
    contentHash: bytes32
    price: uint256
    maxDownloads: uint256
    term: uint256


event Accepted:
    entry: indexed(uint256)
    start: uint256
    end: uint256


event Downloaded:
    entry: indexed(uint256)
    downloads: uint256


event Released:
    entry: indexed(uint256)
    account: indexed(address)
    amount: uint256


event Closed:
    entry: indexed(uint256)
    refunded: indexed(address)
    amount: uint256
    expired: bool


event Withdrawn:
    account: indexed(address)
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


# Kinds.
BACKUP: constant(uint256) = 1
AUTHORISATION: constant(uint256) = 2

# Status.
OFFERED: constant(uint256) = 1
ACTIVE: constant(uint256) = 2
CLOSED: constant(uint256) = 3

# Parameters.
BACKUP_TERM: constant(uint256) = 0  # seconds
OFFER_TERM: constant(uint256) = 1  # seconds in which an offer can be accepted
PARAMETERS: constant(uint256) = 2
MIN_BACKUP_TERM: constant(uint256) = 86400
MAX_BACKUP_TERM: constant(uint256) = 360 * 86400
MIN_OFFER_TERM: constant(uint256) = 3600
MAX_OFFER_TERM: constant(uint256) = 90 * 86400
GRACE: constant(uint256) = 30 * 86400

MIN_TERM: constant(uint256) = 60
MAX_TERM: constant(uint256) = 3600 * 86400
CLOSE_DELAY: constant(uint256) = 86400  # for the last acknowledgement of an authorisation's downloads
MAX_PRICE: constant(uint256) = (1 << 128) - 1
MAX_COUNT: constant(uint256) = (1 << 48) - 1

STATUS_AT: constant(uint256) = 8
DOWNLOADS_AT: constant(uint256) = 16
MOST_AT: constant(uint256) = 64
START_AT: constant(uint256) = 112
END_AT: constant(uint256) = 160
BYTE: constant(uint256) = 255
FIELD: constant(uint256) = (1 << 48) - 1

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("ioeX ServiceLedger")
DOMAIN_VERSION: constant(bytes32) = keccak256("1")
DOWNLOADS_TYPE: constant(bytes32) = keccak256("Downloads(uint256 entry,uint256 count)")

owner: public(address)
ownerDelay: public(uint256)  # seconds; never changes
parameters: public(uint256[PARAMETERS])
changes: public(HashMap[uint256, Change])
entryCount: public(uint256)
entries: HashMap[uint256, Entry]
escrowed: public(uint256)  # paid in for entries, not credited to anybody yet
credits: public(HashMap[address, uint256])
creditTotal: public(uint256)


# --- the owner's parameters ------------------------------------------------------------------------------


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "only the owner"


@internal
@pure
def _bounds(parameter: uint256) -> (uint256, uint256):
    assert parameter < PARAMETERS, "no such parameter"
    if parameter == BACKUP_TERM:
        return MIN_BACKUP_TERM, MAX_BACKUP_TERM
    return MIN_OFFER_TERM, MAX_OFFER_TERM


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
    @notice Put an announced value in force: a backup's term for later orders, an offer's term at once.
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


# --- offers ----------------------------------------------------------------------------------------------


@internal
def _offer(
    kind: uint256, receiver: address, contentHash: bytes32, price: uint256, term: uint256, most: uint256
) -> uint256:
    assert receiver != empty(address) and receiver != msg.sender, "no receiver"
    assert contentHash != empty(bytes32), "no content"
    assert price <= MAX_PRICE, "price"
    entry: uint256 = self.entryCount + 1
    self.entryCount = entry
    self.entries[entry] = Entry(
        sender=msg.sender,
        receiver=receiver,
        contentHash=contentHash,
        price=price,
        released=0,
        facts=kind
        | (OFFERED << STATUS_AT)
        | (most << MOST_AT)
        | (block.timestamp << START_AT)
        | (term << END_AT),
    )
    log Offered(
        entry=entry,
        sender=msg.sender,
        receiver=receiver,
        kind=kind,
        contentHash=contentHash,
        price=price,
        maxDownloads=most,
        term=term,
    )
    return entry


@external
@payable
def order(receiver: address, contentHash: bytes32) -> uint256:
    """
    @notice Order a backup of content from a receiver; the sent IOEX are its price. It begins when it is accepted.
    @param contentHash keccak256 of the content list
    """
    self.escrowed += msg.value
    return self._offer(BACKUP, receiver, contentHash, msg.value, self.parameters[BACKUP_TERM], MAX_COUNT)


@external
def authorise(
    receiver: address, contentHash: bytes32, price: uint256, term: uint256, maxDownloads: uint256
) -> uint256:
    """
    @notice Offer a receiver to read content, at most `maxDownloads` times in `term` seconds, for a price.
    """
    assert term >= MIN_TERM and term <= MAX_TERM, "term"
    assert maxDownloads >= 1 and maxDownloads <= MAX_COUNT, "downloads"
    return self._offer(AUTHORISATION, receiver, contentHash, price, term, maxDownloads)


@internal
@view
def _status(entry: uint256) -> uint256:
    status: uint256 = (self.entries[entry].facts >> STATUS_AT) & BYTE
    assert status != 0, "no such entry"
    return status


@external
@payable
def accept(entry: uint256):
    """
    @notice Accept an offer: the receiver's call. For an authorisation it sends exactly the price.
    """
    assert self._status(entry) == OFFERED, "is not offered"
    assert msg.sender == self.entries[entry].receiver, "only the receiver"
    facts: uint256 = self.entries[entry].facts
    offered: uint256 = (facts >> START_AT) & FIELD
    assert block.timestamp <= offered + self.parameters[OFFER_TERM], "the offer has lapsed"
    due: uint256 = self.entries[entry].price if facts & BYTE == AUTHORISATION else 0
    assert msg.value == due, "not the price"
    self.escrowed += due
    end: uint256 = block.timestamp + ((facts >> END_AT) & FIELD)
    self.entries[entry].facts = (
        (facts & ~((BYTE << STATUS_AT) | (FIELD << START_AT) | (FIELD << END_AT)))
        | (ACTIVE << STATUS_AT)
        | (block.timestamp << START_AT)
        | (end << END_AT)
    )
    log Accepted(entry=entry, start=block.timestamp, end=end)


# --- what is earned --------------------------------------------------------------------------------------


@internal
@view
def _earned(entry: uint256) -> uint256:
    facts: uint256 = self.entries[entry].facts
    price: uint256 = self.entries[entry].price
    if (facts >> STATUS_AT) & BYTE != ACTIVE:
        return self.entries[entry].released
    if facts & BYTE == AUTHORISATION:
        return price * ((facts >> DOWNLOADS_AT) & FIELD) // ((facts >> MOST_AT) & FIELD)
    start: uint256 = (facts >> START_AT) & FIELD
    end: uint256 = (facts >> END_AT) & FIELD
    return price * (min(block.timestamp, end) - start) // (end - start)


@internal
@view
def _earner(entry: uint256) -> address:
    if self.entries[entry].facts & BYTE == AUTHORISATION:
        return self.entries[entry].sender
    return self.entries[entry].receiver


@internal
@view
def _payer(entry: uint256) -> address:
    if self.entries[entry].facts & BYTE == AUTHORISATION:
        return self.entries[entry].receiver
    return self.entries[entry].sender


@internal
def _credit(account: address, amount: uint256):
    self.credits[account] += amount
    self.creditTotal += amount
    self.escrowed -= amount


@internal
def _release(entry: uint256) -> uint256:
    earned: uint256 = self._earned(entry)
    amount: uint256 = earned - self.entries[entry].released
    if amount != 0:
        self.entries[entry].released = earned
        earner: address = self._earner(entry)
        self._credit(earner, amount)
        log Released(entry=entry, account=earner, amount=amount)
    return amount


@external
def release(entry: uint256) -> uint256:
    """
    @notice Credit what an active entry has earned so far. Anybody may.
    """
    assert self._status(entry) == ACTIVE, "is not active"
    amount: uint256 = self._release(entry)
    assert amount != 0, "nothing is earned"
    return amount


# --- downloads -------------------------------------------------------------------------------------------


@internal
@view
def _downloads_digest(entry: uint256, count: uint256) -> bytes32:
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, chain.id, self))
    return keccak256(concat(x"1901", domain, keccak256(abi_encode(DOWNLOADS_TYPE, entry, count))))


@external
def countDownloads(entry: uint256, count: uint256, v: uint256, r: uint256, s: uint256):
    """
    @notice Raise the count of downloads to what the reader acknowledges: by its signature of Downloads(entry,
            count), or by its own call. The reader is the receiver of an authorisation, the sender of a backup.
    """
    assert self._status(entry) == ACTIVE, "is not active"
    reader: address = self._payer(entry)
    if msg.sender != reader:
        assert ecrecover(self._downloads_digest(entry, count), v, r, s) == reader, "not signed by the reader"
    facts: uint256 = self.entries[entry].facts
    assert count > (facts >> DOWNLOADS_AT) & FIELD, "counted before"
    assert count <= (facts >> MOST_AT) & FIELD, "more than was agreed"
    self.entries[entry].facts = (facts & ~(FIELD << DOWNLOADS_AT)) | (count << DOWNLOADS_AT)
    log Downloaded(entry=entry, downloads=count)


# --- the end ---------------------------------------------------------------------------------------------


@internal
def _close(entry: uint256, expired: bool):
    paid: bool = self._status(entry) == ACTIVE or self.entries[entry].facts & BYTE == BACKUP
    refund: uint256 = 0
    if self._status(entry) == ACTIVE:
        self._release(entry)
    if paid:
        refund = self.entries[entry].price - self.entries[entry].released
    facts: uint256 = self.entries[entry].facts
    self.entries[entry].facts = (facts & ~(BYTE << STATUS_AT)) | (CLOSED << STATUS_AT)
    payer: address = self._payer(entry)
    if refund != 0:
        self._credit(payer, refund)
    log Closed(entry=entry, refunded=payer, amount=refund, expired=expired)


@external
def end(entry: uint256):
    """
    @notice End an entry early: what is earned goes to who earned it, the rest back to who paid.
    @dev An offer: by either. A backup: by either. An active authorisation: by its sender alone; its receiver might
         have read already.
    """
    status: uint256 = self._status(entry)
    assert status != CLOSED, "is closed"
    if msg.sender != self.entries[entry].sender:
        assert msg.sender == self.entries[entry].receiver, "only a party"
        assert (
            status == OFFERED or self.entries[entry].facts & BYTE == BACKUP
        ), "only its sender before its term"
    self._close(entry, False)


@external
def close(entry: uint256):
    """
    @notice Close an entry whose term is over, an authorisation a day later. Anybody may.
    """
    assert self._status(entry) == ACTIVE, "is not active"
    facts: uint256 = self.entries[entry].facts
    time: uint256 = (facts >> END_AT) & FIELD
    if facts & BYTE == AUTHORISATION:
        time += CLOSE_DELAY
    assert block.timestamp >= time, "too early"
    self._close(entry, True)


@external
@nonreentrant
def withdraw() -> uint256:
    """
    @notice Take all that is credited to the caller.
    """
    amount: uint256 = self.credits[msg.sender]
    assert amount != 0, "nothing is credited"
    self.credits[msg.sender] = 0
    self.creditTotal -= amount
    log Withdrawn(account=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)
    return amount


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def entry(number: uint256) -> EntryView:
    """
    @notice An entry; all zero where there is none. While it is offered `start` is the offer's time and `end` the
            length of its term.
    """
    found: Entry = self.entries[number]
    return EntryView(
        sender=found.sender,
        receiver=found.receiver,
        contentHash=found.contentHash,
        price=found.price,
        released=found.released,
        earned=self._earned(number),
        kind=found.facts & BYTE,
        status=(found.facts >> STATUS_AT) & BYTE,
        downloads=(found.facts >> DOWNLOADS_AT) & FIELD,
        maxDownloads=(found.facts >> MOST_AT) & FIELD,
        start=(found.facts >> START_AT) & FIELD,
        end=(found.facts >> END_AT) & FIELD,
    )


@external
@view
def isValid(number: uint256) -> bool:
    """
    @notice Whether an entry is active, its term not over, and downloads left.
    """
    facts: uint256 = self.entries[number].facts
    if (facts >> STATUS_AT) & BYTE != ACTIVE or block.timestamp >= (facts >> END_AT) & FIELD:
        return False
    return (facts >> DOWNLOADS_AT) & FIELD < (facts >> MOST_AT) & FIELD


@external
@view
def downloadsDigest(entry: uint256, count: uint256) -> bytes32:
    """
    @notice What the reader signs to acknowledge downloads (EIP-712).
    """
    return self._downloads_digest(entry, count)

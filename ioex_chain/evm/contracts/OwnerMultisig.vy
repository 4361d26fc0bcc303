# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title OwnerMultisig
@license MIT
@notice The consortium's word: a call that enough of its owners have confirmed (docs/protocol.md section 5).
@dev Genesis sets owners and quorum; later only the contract itself changes them, by a confirmed call.
     A confirmation counts while the one who gave it is an owner.
"""

event Submitted:
    proposal: indexed(uint256)
    owner: indexed(address)
    target: indexed(address)
    value: uint256
    data: Bytes[4096]


event Confirmed:
    proposal: indexed(uint256)
    owner: indexed(address)


event Revoked:
    proposal: indexed(uint256)
    owner: indexed(address)


event Executed:
    proposal: indexed(uint256)


event Cancelled:
    proposal: indexed(uint256)


event OwnerAdded:
    owner: indexed(address)


event OwnerRemoved:
    owner: indexed(address)


event QuorumSet:
    quorum: uint256


event Received:
    sender: indexed(address)
    amount: uint256


struct Proposal:
    target: address
    value: uint256
    data: Bytes[4096]
    done: bool


MAX_OWNERS: constant(uint256) = 32

quorum: public(uint256)
owners: DynArray[address, MAX_OWNERS]
isOwner: public(HashMap[address, bool])
proposalCount: public(uint256)
proposals: HashMap[uint256, Proposal]
confirmed: public(HashMap[uint256, HashMap[address, bool]])


@external
@payable
def __default__():
    """
    @notice The contract may hold IOEX and spend it by proposals.
    """
    log Received(sender=msg.sender, amount=msg.value)


@internal
@view
def _check_open(proposal: uint256):
    assert self.isOwner[msg.sender], "only an owner"
    assert proposal != 0 and proposal <= self.proposalCount, "no such proposal"
    assert not self.proposals[proposal].done, "is done"


@internal
@view
def _confirmations(proposal: uint256) -> uint256:
    count: uint256 = 0
    for owner: address in self.owners:
        if self.confirmed[proposal][owner]:
            count += 1
    return count


@external
def submit(target: address, amount: uint256, data: Bytes[4096]) -> uint256:
    """
    @notice Propose a call, and confirm it. Proposals are numbered from 1.
    """
    assert self.isOwner[msg.sender], "only an owner"
    proposal: uint256 = self.proposalCount + 1
    self.proposalCount = proposal
    self.proposals[proposal] = Proposal(target=target, value=amount, data=data, done=False)
    self.confirmed[proposal][msg.sender] = True
    log Submitted(proposal=proposal, owner=msg.sender, target=target, value=amount, data=data)
    log Confirmed(proposal=proposal, owner=msg.sender)
    return proposal


@external
def confirm(proposal: uint256):
    """
    @notice Agree to a proposal.
    """
    self._check_open(proposal)
    assert not self.confirmed[proposal][msg.sender], "is confirmed"
    self.confirmed[proposal][msg.sender] = True
    log Confirmed(proposal=proposal, owner=msg.sender)


@external
def revoke(proposal: uint256):
    """
    @notice Take one's agreement back.
    """
    self._check_open(proposal)
    assert self.confirmed[proposal][msg.sender], "is not confirmed"
    self.confirmed[proposal][msg.sender] = False
    log Revoked(proposal=proposal, owner=msg.sender)


@external
def execute(proposal: uint256) -> Bytes[1024]:
    """
    @notice Make the call of a proposal that enough owners have confirmed. Once; a failing call can be tried again.
    """
    self._check_open(proposal)
    assert self._confirmations(proposal) >= self.quorum, "too few confirmations"
    self.proposals[proposal].done = True
    log Executed(proposal=proposal)
    return raw_call(
        self.proposals[proposal].target,
        self.proposals[proposal].data,
        max_outsize=1024,
        value=self.proposals[proposal].value,
    )


# --- by a confirmed call to itself -----------------------------------------------------------------------


@external
def cancel(proposal: uint256):
    """
    @notice Close a proposal for ever.
    """
    assert msg.sender == self, "only by a proposal"
    assert proposal != 0 and proposal <= self.proposalCount, "no such proposal"
    assert not self.proposals[proposal].done, "is done"
    self.proposals[proposal].done = True
    log Cancelled(proposal=proposal)


@external
def addOwner(owner: address):
    """
    @notice Add an owner.
    """
    assert msg.sender == self, "only by a proposal"
    assert owner != empty(address) and owner != self, "no owner"
    assert not self.isOwner[owner], "is an owner"
    self.isOwner[owner] = True
    self.owners.append(owner)
    log OwnerAdded(owner=owner)


@external
def removeOwner(owner: address):
    """
    @notice Remove an owner; the quorum must stay within reach.
    """
    assert msg.sender == self, "only by a proposal"
    assert self.isOwner[owner], "is no owner"
    last: address = self.owners.pop()
    if last != owner:
        for index: uint256 in range(len(self.owners), bound=MAX_OWNERS):
            if self.owners[index] == owner:
                self.owners[index] = last
    assert len(self.owners) >= self.quorum, "fewer owners than the quorum"
    self.isOwner[owner] = False
    log OwnerRemoved(owner=owner)


@external
def setQuorum(quorum: uint256):
    """
    @notice Change how many confirmations a call needs.
    """
    assert msg.sender == self, "only by a proposal"
    assert quorum != 0 and quorum <= len(self.owners), "out of reach"
    self.quorum = quorum
    log QuorumSet(quorum=quorum)


# --- views -----------------------------------------------------------------------------------------------


@external
@view
def getOwners() -> DynArray[address, MAX_OWNERS]:
    """
    @notice All owners.
    """
    return self.owners


@external
@view
def getProposal(proposal: uint256) -> Proposal:
    """
    @notice A proposal's call, and whether it is done.
    """
    return self.proposals[proposal]


@external
@view
def confirmations(proposal: uint256) -> uint256:
    """
    @notice How many present owners have confirmed a proposal.
    """
    return self._confirmations(proposal)

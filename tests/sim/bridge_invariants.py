"""Section 6's invariants over both heads, each stated in full; `Invariants.check` after every step.

Three accounts of one truth are compared: the models (from blocks alone), the Bridge's storage, and the row
that PoW consensus keeps. `count_all` adds the two sums that need every account and every coin.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from eth_abi import decode, encode

from ioex_chain.bridge.solvency import Verdict
from ioex_chain.dpos.votes import Checkpoint
from ioex_chain.evm import vm
from ioex_chain.evm.bridge import BridgeReader, Door
from ioex_chain.evm.light_client import LightClientReader
from ioex_chain.evm.revert import revert_reason
from ioex_chain.evm.schema import ACCOUNT
from ioex_chain.evm.system import artefact, mapping_slot, selector
from ioex_chain.evm.types import WEI_PER_POW_UNIT, BlockEnv
from ioex_chain.evm.vm_calls import call as run_message
from ioex_chain.evm.vm_frame import Frame, Message
from ioex_chain.evm.vm_world import World as Machine
from ioex_chain.ledger.types import Readable
from ioex_chain.node.bridge_view import NodeBridge
from ioex_chain.pow.reserve import ReserveState, reserve_state
from ioex_chain.primitives import rlp
from ioex_chain.primitives.types import COIN

from .bridge_dpos import POINTS, DposSide
from .bridge_dpos_model import WEI_PER_GWEI, DposModel, DposRow
from .bridge_pow_model import PowModel
from .bridge_spec import USER_ACCOUNTS
from .bridge_world import BridgeWorld

NOBODY = b"\xaa" * 20
REWARD = 20 * COIN * WEI_PER_POW_UNIT


class Invariants:
    """Follows a world's two ledgers; raises AssertionError with what does not hold."""

    def __init__(self, world: BridgeWorld) -> None:
        self.world = world
        self.pow = PowModel(world.pow)
        self.dpos = DposModel(world.dpos)
        self.genesis_wei = sum(balances(world.dpos.ledger.view()))
        self.highest_settled = 0
        self.is_broken_by_reorganisation = False
        """Whether a reorganisation beyond k took away what was credited: the identity has a hole then."""
        self.checked = 0
        self.final: list[bytes] = []
        """The requests of final blocks; nothing ever takes one back."""

    @property
    def bridge(self) -> BridgeReader:
        return BridgeReader(self.world.spec, self.world.dpos.state)

    @property
    def light(self) -> LightClientReader:
        return LightClientReader(self.world.spec, self.world.dpos.state)

    @property
    def reserve(self) -> ReserveState:
        """What PoW consensus keeps of the bridge."""
        return reserve_state(self.world.pow.ledger.view())

    @property
    def node(self) -> NodeBridge:
        """The bridge as a node with these two chains tells it by RPC and metrics."""
        side, final = self.world.dpos, self.world.dpos.ledger.floor
        pow_service = SimpleNamespace(
            ledger=self.world.pow.ledger, mempool=self.world.pow.pool, indexes=True, on_head=[]
        )
        dpos_service = SimpleNamespace(
            spec=side.spec,
            ledger=side.ledger,
            engine=side.engine,
            finality=SimpleNamespace(finalised=Checkpoint(final.hash, final.height)),
        )
        return NodeBridge(cast("Any", pow_service), cast("Any", dpos_service))

    def check(self) -> None:
        """Follow both chains and state everything that can be told from counters and rows."""
        self.pow.follow()
        self.dpos.follow()
        self.supply_is_what_was_mined()
        self.the_reserve_row_is_the_models()
        self.the_bridge_says_what_blocks_did()
        self.rewards_are_counted_once()
        self.every_request_is_settled_in_order_and_exactly()
        self.the_reserve_backs_everything()
        self.nobody_has_moved_gas()
        self.checked += 1

    # --- the PoW chain ---

    def supply_is_what_was_mined(self) -> None:
        """24 x height + genesis, less what miners left unclaimed."""
        row = self.pow.now
        assert row.minted == 24 * COIN * row.height
        assert row.supply == self.pow.genesis_supply + row.minted - row.unclaimed
        assert row.rewards == 20 * COIN * row.height

    def the_reserve_row_is_the_models(self) -> None:
        row, state = self.pow.now, self.reserve
        assert state.reserve == row.reserve == sum(self.pow.coins.values())
        assert (state.rewards, state.deposits, state.donations) == (
            row.rewards,
            row.deposit_sum,
            row.donations,
        )
        assert state.settled == row.payouts + row.fees
        assert (state.withdrawals, state.settlements) == (row.settled, row.settlements)
        assert row.fees == row.settled * self.world.spec.bridge.withdrawal_fee
        income = self.pow.genesis_reserve + row.rewards + row.deposit_sum + row.donations
        assert state.genesis == self.pow.genesis_reserve
        assert row.reserve == income - state.settled

    # --- the DPoS chain ---

    def the_bridge_says_what_blocks_did(self) -> None:
        row, bridge = self.dpos.now, self.bridge
        assert bridge.credit_head == row.taken
        assert bridge.queued == row.count
        assert bridge.drained == row.drained
        assert bridge.requested_units == row.requested
        assert bridge.retired_wei == row.retired
        assert bridge.last_set == row.sets
        assert bridge.withdrawals_count == row.count - row.sets
        assert bridge.accumulator(row.count) == self.dpos.accumulators[row.count]
        assert len(self.dpos.requests) == row.count, "request numbers have a gap"
        fresh = self.dpos.requests[row.count - len(row.requests) :]
        for at, request in enumerate(fresh, row.count - len(row.requests) + 1):
            assert bridge.request(at) == request
        assert bridge.request(row.count + 1) is None
        for name in row.credited:
            assert bridge.is_credited(*name)
        self.only_what_is_buried_was_credited(row)
        credited = sum(self.dpos.outputs[name][1] for name in self.dpos.credited)
        assert bridge.credited_deposits == 10 * credited
        due = bridge.due_credits(1 << 62)
        self.dpos.due[row.hash] = due
        queued = sum(item.amount for item in due) * WEI_PER_GWEI
        assert row.taken_wei + queued == WEI_PER_GWEI * (bridge.credited_deposits + bridge.credited_rewards)
        assert sum(1 for item in due if item.validator_index) == len(self.dpos.credited) - row.taken_deposits
        cap = self.world.spec.bridge.daily_outflow_cap
        assert bridge.outflow_on(self.world.dpos.head.header.header.timestamp) <= cap

    def only_what_is_buried_was_credited(self, row: DposRow) -> None:
        """What the newest block credited has k blocks above it on this node's PoW chain."""
        if self.is_broken_by_reorganisation:
            return
        buried = self.pow.now.height - self.world.spec.pow.burial_depth
        assert self.bridge.counted_height <= max(0, buried), "a reward was counted before it was buried"
        for name in row.credited:
            found = self.pow.deposits.get(name)
            assert found is not None, "a deposit was credited that does not exist"
            assert found.height <= buried, "a deposit was credited before it was buried"

    def rewards_are_counted_once(self) -> None:
        bridge, light = self.bridge, self.light
        assert bridge.credited_rewards == 20 * 10**9 * bridge.counted_height
        if not self.is_broken_by_reorganisation and not bridge.pause_reasons(Door.IN):
            assert bridge.counted_height >= light.buried_height()

    # --- both ---

    def every_request_is_settled_in_order_and_exactly(self) -> None:
        """The PoW chain has paid exactly the first requests of the final DPoS chain, less the fee each."""
        state = self.reserve
        self._note_final_requests()
        assert state.count <= len(self.final), "a request was settled that is not final"
        assert state.accumulator == self.dpos.accumulators[state.count]
        paid = [item for row in self.pow.rows[self._seen :] for item in row.paid]
        wanted = list(self._payouts(self.final[: state.count]))
        assert len(wanted) == self.pow.now.settled
        assert paid == wanted[len(wanted) - len(paid) :], "a settlement paid something else"

    @property
    def _seen(self) -> int:
        """The height from which rows are compared again: all of the last 12, now and then all."""
        return 0 if self.checked % 50 == 0 else max(0, len(self.pow.rows) - 12)

    def _note_final_requests(self) -> None:
        floor = self.world.dpos.ledger.floor.height
        count = self.dpos.rows[floor].drained
        assert self.dpos.requests[: len(self.final)] == self.final, "a final request was taken back"
        self.final += self.dpos.requests[len(self.final) : count]

    def _payouts(self, requests: list[bytes]) -> Iterator[tuple[int, bytes]]:
        fee = self.world.spec.bridge.withdrawal_fee
        for request in requests:
            if request[0] == 0x10:
                yield int.from_bytes(request[9:17], "big") - fee, request[17:]

    def not_credited(self) -> int:
        """Wei that came in on the PoW head's chain and that the DPoS head has not credited."""
        units = sum(item.units for name, item in self.pow.deposits.items() if name not in self.dpos.places)
        heights = self.pow.now.height - self.bridge.counted_height
        return units * WEI_PER_POW_UNIT + heights * REWARD

    def credited_for_nothing(self) -> int:
        """Wei that were credited for deposits which are not on the PoW head's chain."""
        gone = (name for name in self.dpos.places if name not in self.pow.deposits)
        return WEI_PER_POW_UNIT * sum(self.dpos.outputs[name][1] for name in gone)

    def native(self) -> int:
        """Wei on the DPoS chain by counters: genesis and paid credits, less what the Bridge keeps.

        What contracts destroyed with themselves is among it, as in the figures that nodes give.
        """
        row = self.dpos.now
        return self.genesis_wei + row.taken_wei - row.requested * WEI_PER_POW_UNIT - row.retired

    def the_reserve_backs_everything(self) -> None:
        """The identity of section 6, to the wei."""
        pow_row, row = self.pow.now, self.dpos.now
        queued = sum(item.amount for item in self.dpos.due[row.hash]) * WEI_PER_GWEI
        unsettled = row.requested - pow_row.payouts - pow_row.fees
        assert unsettled >= 0, "more was settled than was asked for"
        right = self.native() + queued + unsettled * WEI_PER_POW_UNIT + row.retired
        right += self.not_credited() + pow_row.donations * WEI_PER_POW_UNIT
        hole = self.credited_for_nothing()
        assert self.is_broken_by_reorganisation or not hole, "a deposit was credited that does not exist"
        assert pow_row.reserve * WEI_PER_POW_UNIT == right - hole

    def nobody_has_moved_gas(self) -> None:
        """Points stand where work put them."""
        state, slots = self.world.dpos.state, artefact("GasPoints").slots
        for account in USER_ACCOUNTS:
            assert state.get_storage(self.dpos.points, mapping_slot(slots["balanceOf"], account)) == POINTS
        assert state.get_storage(self.dpos.points, slots["totalSupply"]) == POINTS * len(USER_ACCOUNTS)

    # --- the long form ---

    def count_all(self) -> None:
        """Sum every account and every coin, and compare them with the counters."""
        row = self.dpos.now
        there = sum(balances(self.world.dpos.ledger.view()))
        assert there == self.genesis_wei + row.taken_wei - row.destroyed
        assert self.world.pow.unspent() == self.pow.now.supply
        bridge = self.world.dpos.state.get_balance(self.dpos.bridge)
        assert bridge >= row.requested * WEI_PER_POW_UNIT + row.retired
        self.the_reward_pool_adds_up()
        self.nodes_say_the_same()
        for number, request in enumerate(self.dpos.requests, 1):
            assert self.bridge.request(number) == request
        credits_ = [self.bridge.credit(at) for at in range(self.bridge.credit_tail)]
        deposits = [(item.address, item.amount) for item in credits_ if item.validator_index == 1]
        named = (self.dpos.outputs[name] for name in self.dpos.credited)
        assert deposits == [(account, 10 * units) for account, units in named]
        assert all(item.address == self.dpos.pool for item in credits_ if item.validator_index == 0)

    def nodes_say_the_same(self) -> None:
        """The figures that a node's RPC and metrics give agree with the models', and find nothing wrong."""
        if self.is_broken_by_reorganisation:
            return
        node = self.node
        found, row, counted = node.solvency().result, self.dpos.now, node.count().result
        assert found.verdict is Verdict.SOUND, found.broken
        assert found.difference == 0
        assert found.native == self.native()
        assert found.unsettled == WEI_PER_POW_UNIT * (
            row.requested - self.pow.now.payouts - self.pow.now.fees
        )
        assert found.not_credited.total == self.not_credited()
        assert min(found.not_credited.unseen, found.not_credited.unproven) >= 0
        assert found.uncreditable == WEI_PER_POW_UNIT * self.pow.now.donations
        assert counted.is_sound
        assert counted.balances_difference == -row.destroyed
        assert not node.missing()

    def the_reward_pool_adds_up(self) -> None:
        side = self.world.dpos
        accrued, claimed, forfeited, unclaimed, income = (
            ask(side, "RewardPool", f"{name}()", "uint256")
            for name in ("accruedTotal", "claimedTotal", "forfeitedTotal", "unclaimed", "incomeTotal")
        )
        spec = self.world.spec.dpos
        per_block = spec.block_reward * spec.block_time // spec.nominal_block_time
        assert accrued == side.head.height * per_block, "a block's reward was not accrued, or twice"
        assert accrued == claimed + forfeited + unclaimed
        assert income == side.state.get_balance(self.dpos.pool) + claimed
        assert claimed <= income


def balances(view: Readable) -> Iterator[int]:
    """Give every account's balance in wei, from the rows of the state."""
    for _, row in view.scan(ACCOUNT):
        _, end = _short(row, 0)
        yield _short(row, end)[0]


def _short(data: bytes, at: int) -> tuple[int, int]:
    """Read an RLP integer at a place: value, and where it ends."""
    first = data[at]
    end = at + 1 if first < 0x80 else at + 1 + first - 0x80
    assert first <= 0xB7
    return rlp.integer(rlp.decode(data[at:end]), 32), end  # type: ignore[arg-type]


def ask(side: DposSide, contract: str, signature: str, returns: str, *args: Any) -> Any:
    """Call a view of a system contract on a node's head."""
    types = signature[signature.index("(") + 1 : -1]
    data = selector(signature) + encode(types.split(",") if types else [], args)
    frame = attempt(side, contract, data)
    assert frame.error is None, f"{contract}.{signature} failed"
    return decode([returns], frame.output)[0]


def attempt(side: DposSide, contract: str, data: bytes, sender: bytes = NOBODY) -> Frame:
    """Run a call of a system contract on a node's head, with plenty of gas; nothing of it is kept."""
    state, to = side.state, side.spec.contracts.addresses[contract]
    header = side.head.header.header
    env = BlockEnv(
        side.spec.dpos.chain_id,
        header.number,
        side.clock.time,
        bytes(20),
        10**8,
        0,
        bytes(32),
        lambda _: None,
    )
    message = Message(
        "CALL", sender=sender, target=to, to=to, value=0, data=data, code=state.get_code(to), gas=3 * 10**7
    )
    return run_message(Machine(state, env, vm.PRAGUE, origin=sender, gas_price=0), message)


def refusal_of(frame: Frame) -> str:
    """Say why a call reverted; empty when it did not."""
    if frame.error is None:
        return ""
    return revert_reason(bytes(frame.output)) or type(frame.error).__name__

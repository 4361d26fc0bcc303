"""From a file's `bridge` section to the frozen BridgeSpec."""

from ioex_chain.spec.document import BridgeDocument, format_amount, parse_amount
from ioex_chain.spec.errors import BadField
from ioex_chain.spec.model import MAX_OUTPUT, BridgeSpec

LEAST_PAYOUT = 1_000
"""Units that a withdrawal pays at least: above what any node calls dust."""


def bridge_spec(document: BridgeDocument) -> BridgeSpec:
    """Check the section against every rule and give the value. Raises BadField."""
    spec = BridgeSpec(
        withdrawal_fee=parse_amount(document.withdrawal_fee),
        min_withdrawal=parse_amount(document.min_withdrawal),
        daily_outflow_cap=parse_amount(document.daily_outflow_cap),
        min_relayed_deposit=parse_amount(document.min_relayed_deposit),
        owner_delay=document.owner_delay,
    )
    if not spec.withdrawal_fee:
        raise BadField("bridge.withdrawal_fee", "no miner takes a settlement that pays nothing")
    if spec.min_withdrawal < spec.withdrawal_fee + LEAST_PAYOUT:
        raise BadField(
            "bridge.min_withdrawal",
            f"less than the fee and {format_amount(LEAST_PAYOUT)} IOEX: what is paid out would be dust",
        )
    if spec.min_withdrawal > MAX_OUTPUT:
        raise BadField("bridge.min_withdrawal", "is above the largest output, so nobody could withdraw")
    if spec.daily_outflow_cap < spec.min_withdrawal:
        raise BadField("bridge.daily_outflow_cap", "is below min_withdrawal, so nobody could withdraw")
    return spec

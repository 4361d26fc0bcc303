"""Replace-by-fee (BIP-125) and the limits on unconfirmed chains.

Full replacement: every pool transaction can be replaced, whatever its sequence numbers say. A miner would
take the better-paying spend in any case, so a signal would only make wallets believe otherwise.
"""

from collections import Counter

from ioex_chain.pow import policy as rules
from ioex_chain.pow.packages import MempoolEntry, with_descendants
from ioex_chain.pow.policy import Policy, fee_at


def check_replacement(
    policy: Policy,
    entry: MempoolEntry,
    parents: set[MempoolEntry],
    ancestors: set[MempoolEntry],
    conflicts: set[MempoolEntry],
) -> set[MempoolEntry]:
    """Give all that `entry` pushes out by spending what `conflicts` spend. Raises ReplacementError.

    `entry` is not in the pool; `ancestors` are its `parents` and theirs.
    """
    if not conflicts.isdisjoint(ancestors):
        raise rules.SpendsConflict("it spends an output of a transaction that it conflicts with")
    for conflict in conflicts:
        if entry.fee * conflict.size <= conflict.fee * entry.size:
            raise rules.ReplacementFeeTooLow(
                f"{_rate(entry)} units per byte; a transaction that it replaces pays {_rate(conflict)}"
            )
    if sum(conflict.descendant_count for conflict in conflicts) > policy.max_replaced:
        # As BIP-125 counts: descendants that two conflicts share count twice. It keeps the closure small.
        raise rules.TooManyReplaced(f"it would push out more than {policy.max_replaced} transactions")
    replaced = with_descendants(conflicts)
    known = set().union(*(conflict.parents for conflict in conflicts))
    if not parents <= known:
        raise rules.ReplacementAddsUnconfirmed(
            "it spends an unconfirmed output that what it replaces did not spend; wait for a block"
        )
    _check_fee(policy, entry, replaced)
    return replaced


def _check_fee(policy: Policy, entry: MempoolEntry, replaced: set[MempoolEntry]) -> None:
    lost = sum(other.fee for other in replaced)
    least = lost + fee_at(policy.incremental_rate, entry.size)
    if entry.fee < least:
        raise rules.ReplacementFeeTooLow(
            f"the fee is {entry.fee}; replacing {len(replaced)} transactions needs at least {least}"
        )


def _rate(entry: MempoolEntry) -> str:
    return f"{entry.fee / entry.size:.3f}"


def check_chain_limits(
    policy: Policy, entry: MempoolEntry, ancestors: set[MempoolEntry], replaced: set[MempoolEntry]
) -> None:
    """Check ancestor and descendant limits as they are once `replaced` is gone. Raises ChainTooLong."""
    count = len(ancestors) + 1
    if count > policy.max_ancestors:
        raise _too_long(f"{count} unconfirmed transactions with its ancestors", policy.max_ancestors)
    size = sum(ancestor.size for ancestor in ancestors) + entry.size
    if size > policy.max_ancestor_size:
        raise _too_long(f"{size} bytes with its unconfirmed ancestors", policy.max_ancestor_size)
    fewer, smaller = _freed(ancestors, replaced)
    for ancestor in ancestors:
        count = ancestor.descendant_count - fewer[ancestor] + 1
        if count > policy.max_descendants:
            raise _too_long(f"an ancestor would have {count} descendants", policy.max_descendants)
        size = ancestor.descendant_size - smaller[ancestor] + entry.size
        if size > policy.max_descendant_size:
            raise _too_long(f"an ancestor would have {size} bytes of them", policy.max_descendant_size)


def _freed(
    ancestors: set[MempoolEntry], replaced: set[MempoolEntry]
) -> tuple[Counter[MempoolEntry], Counter[MempoolEntry]]:
    """Give how many descendants, and how many bytes of them, each ancestor loses."""
    fewer: Counter[MempoolEntry] = Counter()
    smaller: Counter[MempoolEntry] = Counter()
    if replaced:
        for ancestor in ancestors:
            for gone in replaced & with_descendants((ancestor,)):
                fewer[ancestor] += 1
                smaller[ancestor] += gone.size
    return fewer, smaller


def _too_long(what: str, limit: int) -> rules.ChainTooLong:
    return rules.ChainTooLong(f"{what}, the limit is {limit}; wait for a block")

"""`ioex arbitrator destroy-key`: end a signing key when both chains have left its sets."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ioex_chain.cli.dpos_node import open_node
from ioex_chain.cli.dpos_url import SETTINGS
from ioex_chain.cli.options import Session, command, out
from ioex_chain.cli.wallet_session import confirm
from ioex_chain.wallet.account_wallet import check_chain
from ioex_chain.wallet.arbitrators import registry
from ioex_chain.wallet.retired_keys import check_retired, destroy_file, key_of


@command(*SETTINGS)
def destroy_key(
    session: Session,
    keystore: Annotated[Path, typer.Argument(help="Keystore of the signing key that served.")],
    check: Annotated[bool, typer.Option("--check", help="Only say whether it may be destroyed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Destroy a signing key that serves no set any more; refuses while a chain still needs it.

    That is when no set of the DPoS chain has it, and the PoW chain has settled by a later set. Copies and
    backups of the keystore are yours to destroy.
    """
    key = key_of(keystore)
    spec = session.spec()
    with open_node(session) as node:
        check_chain(node, spec.dpos.chain_id)
        found = check_retired(node, registry(spec.contracts.addresses["ArbitratorRegistry"]), key)
    facts: dict[str, Any] = {"key": key, "partner": found.number, "destroyed": not check}
    if check:
        session.show(facts, lambda: out.print(f"{key} is in no set any more", highlight=False))
        return
    confirm(f"Destroy the key {key} of partner {found.number} for ever?", yes)
    destroy_file(keystore)
    words = f"{key} is destroyed; destroy copies and backups of {keystore.name} too"
    session.show(facts, lambda: out.print(words, highlight=False, soft_wrap=True))

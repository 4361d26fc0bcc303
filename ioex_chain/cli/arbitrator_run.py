"""`ioex arbitrator run`: a node that seals and votes."""

from pathlib import Path

from ioex_chain.cli.node import RUN_SETTINGS, run_session
from ioex_chain.cli.options import EXIT_USAGE, Session, command, fail


@command(*RUN_SETTINGS)
def run(session: Session) -> None:
    """Run a node that seals and votes with the keys of --arbitrator-keys, until it is stopped."""
    config = session.config
    if not config.arbitrator_keys:
        fail("give the keystore: --arbitrator-keys FILE ('ioex arbitrator init' makes one)", EXIT_USAGE)
    if config.arbitrator_password_file is None:
        fail("give --arbitrator-password-file FILE: a node starts without a person", EXIT_USAGE)
    for file in (*config.arbitrator_keys, config.arbitrator_password_file):
        if not Path(file).is_file():
            fail(f"there is no file {file}", EXIT_USAGE, as_json=session.as_json)
    run_session(session)

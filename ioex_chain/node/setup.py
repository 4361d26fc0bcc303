"""The first start: what a data directory is fixed to, and the spec that follows from it."""

from ioex_chain.ledger.errors import WrongFormat, WrongNetwork
from ioex_chain.node.clock import SystemClock
from ioex_chain.node.config import NodeConfig
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec


def prepare_datadir(config: NodeConfig, clock: Clock | None = None) -> tuple[DataDir, NetworkSpec]:
    """Create the network's folder if it is new, and give it with the spec that it is fixed to.

    A devnet begins at the time of its first start. Raises StoreError, SpecError.
    """
    datadir = DataDir(config.datadir, config.network)
    if not datadir.exists():
        is_devnet = config.network == "devnet"
        started = (clock or SystemClock()).now() if is_devnet else None
        load_network(config.network, genesis_time=started, spacing=config.spacing)  # refuses before writing
        datadir.create(Identity(config.network, started, config.spacing, config.indexes is not False))
    identity = datadir.identity()
    if config.indexes is not None and identity.indexes != config.indexes:
        state = "with" if identity.indexes else "without"
        wanted = "--indexes" if config.indexes else "--no-indexes"
        raise WrongFormat(
            f"{datadir.database} was built {state} address and transaction indexes; "
            f"run `ioex db reindex {wanted}` to change that"
        )
    if config.spacing is not None and identity.spacing != config.spacing:
        fixed = identity.spacing or load_network(config.network).pow.spacing
        if fixed != config.spacing:
            raise WrongNetwork(
                f"{datadir.path} was set up with a spacing of {fixed} s, not {config.spacing}; "
                "leave the setting out, or choose another --datadir"
            )
    return datadir, load_network(config.network, genesis_time=identity.genesis_time, spacing=identity.spacing)

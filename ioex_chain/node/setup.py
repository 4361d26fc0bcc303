"""The first start: what a data directory is fixed to, and the spec that follows from it."""

from ioex_chain.ledger.errors import WrongFormat, WrongNetwork
from ioex_chain.node.clock import SystemClock
from ioex_chain.node.config import ConfigError, NodeConfig
from ioex_chain.node.datadir import DataDir, Identity
from ioex_chain.primitives.clock import Clock
from ioex_chain.spec.load import load_network
from ioex_chain.spec.model import NetworkSpec


def prepare_datadir(config: NodeConfig, clock: Clock | None = None) -> tuple[DataDir, NetworkSpec]:
    """Create the network's folder if it is new, and give it with the spec that it is fixed to.

    A devnet begins at the time of its first start. Raises StoreError, SpecError.
    """
    if config.solo and config.network != "devnet":
        raise ConfigError("--solo edits the state by hand: on devnet only")
    datadir = DataDir(config.datadir, config.network)
    if not datadir.exists():
        identity = Identity(
            config.network,
            (clock or SystemClock()).now() if config.network == "devnet" else None,
            config.spacing,
            config.indexes is not False,
            config.block_time,
            config.arbitrators,
            config.solo,
        )
        load_network(config.network, **identity.options())  # refuses before anything is written
        datadir.create(identity)
    identity = datadir.identity()
    _check_indexes(config, datadir, identity)
    if identity.solo != config.solo:
        state = "with" if identity.solo else "without"
        raise WrongNetwork(
            f"{datadir.path} was set up {state} --solo, and stays so; choose another --datadir"
        )
    spec = load_network(config.network, **identity.options())
    _check_fixed(config.spacing, spec.pow.spacing, "a spacing", datadir)
    _check_fixed(config.block_time, spec.dpos.block_time, "a block time", datadir)
    _check_fixed(config.arbitrators, spec.dpos.seats, "a number of arbitrators", datadir)
    return datadir, spec


def _check_indexes(config: NodeConfig, datadir: DataDir, identity: Identity) -> None:
    if config.indexes is not None and identity.indexes != config.indexes:
        state = "with" if identity.indexes else "without"
        wanted = "--indexes" if config.indexes else "--no-indexes"
        raise WrongFormat(
            f"{datadir.database} was built {state} address and transaction indexes; "
            f"run `ioex db reindex {wanted}` to change that"
        )


def _check_fixed(wanted: int | None, fixed: int, name: str, datadir: DataDir) -> None:
    if wanted is not None and wanted != fixed:
        raise WrongNetwork(
            f"{datadir.path} was set up with {name} of {fixed}, not {wanted}; "
            "leave the setting out, or choose another --datadir"
        )

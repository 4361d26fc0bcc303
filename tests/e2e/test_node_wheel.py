"""The package as it is installed: the wheel alone, outside of the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from e2e.conftest import NewNode
from e2e.node_process import ADDRESS, environment, ioex

pytestmark = pytest.mark.e2e
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with nothing but the unpacked wheel."""
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target / "site")
    return target / "site"


def test_the_wheel_holds_what_the_node_needs(site: Path, new_node: NewNode, tmp_path: Path) -> None:
    env = environment(PYTHONPATH=str(site))
    where = "import ioex_chain; print(ioex_chain.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(site))
    for network in ("mainnet", "testnet", "devnet"):
        done = ioex("genesis", "verify", "--network", network, env=env, cwd=tmp_path)
        assert done.code == 0, done
    node = new_node(env=env)
    with node.running(cwd=tmp_path):
        node.rpc("generatetoaddress", 2, ADDRESS)
        assert node.stop()[0] == 0


def test_the_wheel_holds_no_tests_and_the_genesis_files(site: Path) -> None:
    names = {path.relative_to(site).parts[0] for path in site.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"ioex_chain"}
    genesis = {path.name for path in (site / "ioex_chain" / "genesis").iterdir()}
    assert genesis == {"mainnet.json", "testnet.json", "devnet.json"}
    assert "ioex = ioex_chain.cli.entry:main" in next(site.glob("*.dist-info/entry_points.txt")).read_text()

"""Who is at the other end, and on which network: the rules of the two hellos (docs/protocol.md section 9.1).

TLS shows the client that the server holds its certificate's key. The client shows its own key by a signature
that only this server, on this network, in this connection can use.
"""

from cryptography.exceptions import InternalError, InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ioex_chain.p2p.links import Certificate
from ioex_chain.p2p.messages import Hello, LeaveReason
from ioex_chain.p2p.seam import Refused
from ioex_chain.p2p.types import PeerId

TAG = b"ioeX/p2p/hello/1"
LEAST_VERSION = 1
NO_NONCE = bytes(32)
NO_SIGNATURE = bytes(64)


class WrongNetwork(Refused):
    """The peer is on another network."""

    def __init__(self, network: bytes) -> None:
        super().__init__(LeaveReason.WRONG_NETWORK, f"another network: {network.hex()[:16]}")


class OtherVersion(Refused):
    """The peer speaks only versions that this node does not."""

    def __init__(self, version: int) -> None:
        super().__init__(LeaveReason.OTHER_VERSION, f"version {version}; at least {LEAST_VERSION} is spoken")


class WrongPeer(Refused):
    """The peer is not who was dialled."""

    def __init__(self, expected: PeerId, found: bytes) -> None:
        text = f"dialled {expected.hex()[:16]}, found {found.hex()[:16]}"
        super().__init__(LeaveReason.WRONG_IDENTITY, text)


class WrongProof(Refused):
    """The peer does not show that it holds the key that it names."""

    def __init__(self, text: str) -> None:
        super().__init__(LeaveReason.WRONG_IDENTITY, text)


class SelfConnection(Refused):
    """The node has dialled itself."""

    def __init__(self) -> None:
        super().__init__(LeaveReason.SELF, "this is the same node")


def proof_bytes(network: bytes, certificate: Certificate, nonce: bytes) -> bytes:
    """Give what the client signs: tag, network id, SHA-256 of the server's certificate, server's nonce."""
    return TAG + network + certificate.digest + nonce


def check_server(
    hello: Hello, certificate: Certificate, expected: PeerId | None, own: PeerId, network: bytes
) -> None:
    """Check the server's hello, at the client. Raises Refused."""
    if hello.key != certificate.key:
        raise WrongProof("the hello names another key than the certificate")
    if expected is not None and hello.key != expected:
        raise WrongPeer(expected, hello.key)
    _check_both(hello, own, network)


def check_client(hello: Hello, certificate: Certificate, nonce: bytes, network: bytes) -> None:
    """Check the client's hello, at the server that sent `nonce`. Raises Refused."""
    _check_both(hello, certificate.key, network)
    try:
        key = Ed25519PublicKey.from_public_bytes(hello.key)
        key.verify(hello.signature, proof_bytes(network, certificate, nonce))
    except (InvalidSignature, ValueError, InternalError) as error:
        raise WrongProof("the hello's signature is not by its key over this connection") from error


def _check_both(hello: Hello, own: PeerId, network: bytes) -> None:
    if hello.network != network:
        raise WrongNetwork(hello.network)
    if hello.version < LEAST_VERSION:
        raise OtherVersion(hello.version)
    if hello.key == own:
        raise SelfConnection

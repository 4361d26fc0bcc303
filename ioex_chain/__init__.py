"""Node software of ioeX: a PoW public chain, a DPoS consortium chain and the bridge between them."""

__version__ = "0.1.0"

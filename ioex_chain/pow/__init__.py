"""The PoW public chain: Bitcoin's formats, closed scripts, 24 IOEX a block (docs/protocol.md section 3)."""

"""What spans the two chains: deposit proofs, settlements, solvency, the relayer (docs/protocol.md section 6)."""

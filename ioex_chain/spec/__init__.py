"""One frozen value per network: what nodes must agree on, loaded from `genesis/*.json`."""

"""Speed and memory of the node, beside what a user might take instead: `python -m benchmarks`."""

#!/bin/sh
# Install the JavaScript clients of the tests (ethers, viem, solc), pinned by package-lock.json, into the virtual
# environment $1. Without node and npm, or without a registry, the tests that need them are skipped and say why.
set -eu
venv=${1:-.venv}
source=$(dirname "$0")/../tests/e2e/clients
target=$venv/clients
if [ -f "$target/.installed" ] && cmp -s "$source/package-lock.json" "$target/package-lock.json"; then
    exit 0
fi
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo "node or npm is missing: tests with JavaScript clients will be skipped" >&2
    exit 0
fi
mkdir -p "$target"
cp "$source/package.json" "$source/package-lock.json" "$target/"
if (cd "$target" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2); then
    touch "$target/.installed"
else
    echo "npm could not install them: tests with JavaScript clients will be skipped" >&2
fi

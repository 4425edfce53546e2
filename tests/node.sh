#!/bin/sh
# Prints a directory of Node packages for NODE_PATH that has what the examples in docs need, and makes it in target where
# it is missing.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
packages=amqplib@0.10.9
node=$target/node
mkdir -p "$node"

# Tests run side by side; one makes it, the others wait.
exec 9>"$target/node.lock"
flock 9
if [ "$(cat "$node/made" 2>/dev/null)" != "$packages" ]; then
    npm install --prefix "$node" --no-save --no-package-lock --no-audit --no-fund --silent "$packages" >&2
    echo "$packages" >"$node/made"
fi
cd "$node/node_modules"
pwd

#!/bin/sh
# Builds the big test programs of this module into the project's .cache/bin,
# where the tests look for them. A second run without changes costs a second.
# The program soci needs a C compiler and zlib's headers.
# Usage: testdata/peers/build.sh [DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-$here/../../.cache/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$here"
CGO_ENABLED=0 go build -o "$bin/" github.com/distribution/distribution/v3/cmd/registry ./toc
CGO_ENABLED=1 go build -o "$bin/" ./soci
echo "built $bin/registry, toc, soci"

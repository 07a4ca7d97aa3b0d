#!/usr/bin/env bash
# The client's tests against a broker of our own: a process on a free port, its data in a folder that goes afterwards.
# MILLSTREAM_TEST_BOOTSTRAP=host:port runs them against another cluster, Apache Kafka for one. MILLSTREAM_BROKER and CLIENT_TESTS
# name the programs; without them those of the dev profile are built.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${MILLSTREAM_TEST_BOOTSTRAP:-}" ]; then
    if [ -z "${MILLSTREAM_BROKER:-}" ]; then cargo build --quiet -p millstream-server --bin millstream-broker; fi
    data=$(mktemp -d)
    log="$data.log"
    "${MILLSTREAM_BROKER:-${CARGO_TARGET_DIR:-target}/debug/millstream-broker}" --listen 127.0.0.1:0 --data "$data" >"$log" 2>"$log.err" &
    broker=$!
    trap 'kill $broker 2>/dev/null; wait $broker 2>/dev/null; rm -rf "$data" "$log" "$log.err"' EXIT
    # The broker's own word, not a time: it prints its address when it serves.
    until grep -q '^ready ' "$log"; do
        kill -0 $broker 2>/dev/null || { cat "$log.err"; echo "the broker did not start"; exit 1; }
        read -r -t 0.1 <> <(:) || true
    done
    MILLSTREAM_TEST_BOOTSTRAP=$(sed -n 's/^ready //p' "$log")
    export MILLSTREAM_TEST_BOOTSTRAP
fi
echo "against $MILLSTREAM_TEST_BOOTSTRAP"
if [ -n "${CLIENT_TESTS:-}" ]; then "$CLIENT_TESTS" --quiet; else cargo test --quiet -p millstream-client --test it; fi

#!/usr/bin/env bash
# Stock Kafka clients and tools (tests/clients/run.sh) against a broker of our own. CLIENTS: which of them, all by default.
. "$(dirname "$0")/lib.sh"
work="$(mktemp -d)"
trap 'set +e; kill "$broker_pid" 2> /dev/null; wait "$broker_pid" 2> /dev/null; rm -rf "$work"' EXIT
start_broker "$work/broker"
# shellcheck disable=SC2086
bash tests/clients/run.sh "$broker" ${CLIENTS:-} | tee "$work/lines"
grep -q '^ok ' "$work/lines" || { echo "FAIL: no client ran"; exit 1; }
echo "stock clients test passed: $(grep -c '^ok ' "$work/lines") lines as expected, $(grep -c '^skip ' "$work/lines" || true) clients skipped"

#!/usr/bin/env bash
# How long a worker takes to restore large state, from its changelog and from snapshots in a store: SIZE sales of as many keys are deduped, the
# run ends, and one more sale is run with each, from its start to its end, ROUNDS times. Prints seconds, and the bytes that lie on the broker and
# in the store. State is written anew after AFTER of changes (256KiB). A measurement, not a test: run it on a machine that does nothing else, with a release build.
# SIZE=10000000 MILLSTREAM=target/release/millstream bash tests/e2e/restore-time.sh
# STORE_URL=s3://bucket/folder with S3_ENDPOINT, KEY_ID and KEY is another store than a folder.
. "$(dirname "$0")/lib.sh"
size="${SIZE:-100000}" rounds="${ROUNDS:-3}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
export STORE_URL="${STORE_URL:-$work/store}" S3_ENDPOINT="${S3_ENDPOINT:-}" KEY_ID="${KEY_ID:-}" KEY="${KEY:-}"
s3=''
[ -z "$S3_ENDPOINT" ] || s3='s3: { endpoint: "${env:S3_ENDPOINT}", access_key_id: "${env:KEY_ID}", secret_access_key: "${env:KEY}", allow_http: true }'
for kind in changelog store; do
    cat > "$work/$kind.yaml" << X
version: 1
name: from-$kind
broker: \${env:BROKER}
defaults: { snapshot_after: ${AFTER:-256KiB}$([ "$kind" = changelog ] || echo ", snapshots: { url: \"\${env:STORE_URL}\", $s3 }") }
schemas: { sale: { fields: { id: { type: int64, required: true }, at: { type: timestamp_ms, required: true } } } }
topics:
  sales: { partitions: 16, key: id }
sources:
  sales: { type: topic, topic: sales, schema: sale, until: end, watermark: { column: at, delay: 2s } }
transforms:
  fresh: { type: dedupe, inputs: [sales], key: [id], within: 30d }
sinks:
  none: { type: blackhole, inputs: [fresh] }
X
done
start_broker "$work/broker"
pids+=("$broker_pid")
export BROKER="$broker"
"$millstream" topic create sales --bootstrap "$BROKER" --partitions 16 > "$work/create.log"
sales() { awk -v from="$1" -v to="$2" 'BEGIN { for (i = from; i < to; i++) printf "%d\t{\"id\":%d,\"at\":%.0f}\n", i, i, 1700000000000 + i }'; }
produce() { "$millstream" produce sales --bootstrap "$BROKER" --key-separator $'\t' > "$work/produce.log" || fail "producing"; }
run() { "$millstream" run "$work/$1.yaml" --data "$work/data-$1" > "$work/$1.log" 2> "$work/$1.err" || fail "the run from the $1"; }
on_broker() { du -cb "$work/broker/data/from-$1-fresh-state-"* | tail -1 | cut -f 1; }
sales 0 "$size" | produce
for kind in changelog store; do
    run "$kind"
    stored=0
    [ "$kind" = changelog ] || [ ! -d "$STORE_URL" ] || stored="$(find "$STORE_URL" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')"
    echo "$kind: $(on_broker "$kind") bytes in segments of the changelog, $stored bytes in the store"
done
for round in $(seq "$rounds"); do
    sales "$((size + round))" "$((size + round + 1))" | produce
    for kind in changelog store; do
        begin=$(date +%s%N)
        run "$kind"
        echo "round $round from the $kind: $(awk -v from="$begin" -v to="$(date +%s%N)" 'BEGIN { printf "%.2f", (to - from) / 1e9 }') s"
    done
done

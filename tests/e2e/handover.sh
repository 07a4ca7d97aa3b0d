#!/usr/bin/env bash
# How long the partitions stand still that one worker with SIZE MiB of state hands over to a second one, and that the survivor takes over
# when one of two is killed: with copies of state (MODE=copies: a warm start, and `standby: 1`) and without (MODE=read). The longest that
# the results of a moved partition stood still is told, from records' own timestamps; a row comes to each every 50 ms.
# A figure's time-out: the kill's includes the 6 s after which the broker gives a worker up. With IN_COMMIT=N the second worker is not killed,
# but dies within its Nth commit, once it has offered its positions: N has to be large enough for it to have joined. SIZE, MODE, PARTITIONS; MILLSTREAM names the
# program (release, for figures). Not among the tests: it measures.
. "$(dirname "$0")/lib.sh"
size="${SIZE:-64}" modes="${MODE:-read copies}" partitions="${PARTITIONS:-16}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$run"/*.log "$run"/*.err; exit 1; }
# Windows of a year stay open: state is a row for each key, about 200 bytes.
cat > "$work/handed.yaml" << 'X'
version: 1
name: handed
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      sku:  { type: string, required: true }
      tick: { type: int64, required: true }
      at:   { type: timestamp_ms, required: true }
topics:
  sales: { partitions: PARTITIONS, key: sku }
  sums:  { partitions: PARTITIONS, key: sku }
  ticks: { partitions: PARTITIONS, key: sku }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 1s } }
transforms:
  summed:
    type: sql
    inputs: [sales]
    sql: |
      SELECT sku, window_end, COUNT(*) AS n, SUM(tick) AS ticks, MAX(tick) AS last
      FROM TUMBLE(sales, at, INTERVAL '365 days') GROUP BY sku, window_start, window_end
  ticked:
    type: sql
    inputs: [sales]
    sql: SELECT sku, tick FROM sales WHERE tick > 0
sinks:
  sums:  { type: topic, inputs: [summed], topic: sums }
  ticks: { type: topic, inputs: [ticked], topic: ticks }
X
sed -i "s/PARTITIONS/$partitions/" "$work/handed.yaml"
worker() { # NAME ARGUMENT...
    local name="$1"
    shift
    eval "metrics_$name=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    local at="metrics_$name"
    BROKER="$broker" "$millstream" run "$work/handed.yaml" --data "$run/data-$name" --instance "$name" --metrics "${!at}" \
        --set defaults.commit_interval=100ms "$@" >> "$run/$name.log" 2>> "$run/$name.err" &
    pids+=($!)
}
figure() { # WORKER NAME
    local at="metrics_$1"
    { curl -s "http://${!at}/metrics" || true; } | awk -v name="$2{" 'index($1, name) == 1 && /stage="sales"/ { sum += $2; n++ } END { if (n) printf "%.0f\n", sum }'
}
until_is() { # WORKER NAME AT-LEAST
    for _ in $(seq 12000); do
        local found
        found="$(figure "$1" "$2")"
        [ "${found:-0}" -ge "$3" ] && return
        pause 0.05
    done
    fail "worker $1 says $2 $(figure "$1" "$2") and not $3"
}
taken() { # WORKER: how many key groups it has taken over
    local copied read
    until copied="$(figure "$1" millstream_stage_key_groups_copied_total)" && read="$(figure "$1" millstream_stage_key_groups_read_total)" && [ -n "$copied$read" ]; do
        pause 0.05
    done
    echo $((copied + read))
}
changes() { date +%s%3N >> "$run/changes"; }
for mode in $modes; do
    run="$work/$mode"
    mkdir "$run"
    with=(--set defaults.warm_start=false)
    [ "$mode" = copies ] && with=(--set defaults.standby=1)
    start_broker "$run/broker" --set group.consumer.session.timeout.ms=6000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
    worker a "${with[@]}"
    until_is a millstream_stage_key_groups_read_total "$partitions"
    # The state: a row for each key.
    python3 -c '
import sys
for key in range(int(sys.argv[1]) * (1 << 20) // 200):
    sku = f"{key:010}" + "x" * 150
    sys.stdout.write(sku + "\t{\"sku\":\"" + sku + "\",\"tick\":0,\"at\":1760000000000}\n")' "$size" |
        "$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' > "$run/fill.log" 2> "$run/fill.err" || fail "filling"
    for _ in $(seq 12000); do
        [ "$(figure a millstream_stage_lag_records)" = 0 ] && break
        pause 0.1
    done
    state="$(figure a millstream_operator_state_bytes)"
    # A row each 50 ms for each partition, whichever keys those are.
    python3 - "$run" "$partitions" << 'X' > >("$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' > "$run/produce.log" 2> "$run/produce.err") &
import os, sys, time
run, partitions, tick = sys.argv[1], int(sys.argv[2]), 0
while not os.path.exists(f"{run}/enough"):
    tick += 1
    # Eight keys to a partition: none is without.
    for key in range(8 * partitions):
        sku = f"tick-{key}"
        sys.stdout.write(f'{sku}\t{{"sku":"{sku}","tick":{tick},"at":1760000000000}}\n')
    sys.stdout.flush()
    time.sleep(0.05)
X
    feeder=$!
    pids+=("$feeder")
    pause 3
    changes
    began="$(date +%s%3N)"
    [ -z "${IN_COMMIT:-}" ] || export MILLSTREAM_FAIL_AT="sales.before_commit:$IN_COMMIT"
    worker b "${with[@]}"
    unset MILLSTREAM_FAIL_AT
    for _ in $(seq 12000); do
        [ "$(taken b)" -ge $((partitions / 2)) ] && break
        pause 0.05
    done
    joined=$(($(date +%s%3N) - began)) copied="$(figure b millstream_stage_key_groups_copied_total)"
    pause 3
    if [ "$mode" = copies ]; then
        until_is a millstream_stage_standby_key_groups $((partitions / 2))
        until_is b millstream_stage_standby_key_groups $((partitions - partitions / 2))
        pause 5
    fi
    changes
    before="$(taken a)"
    [ -n "${IN_COMMIT:-}" ] || kill -9 "${pids[-1]}"
    wait "${pids[-1]}" 2> /dev/null || true
    for _ in $(seq 12000); do
        [ "$(taken a)" -ge $((before + partitions / 2)) ] && break
        pause 0.05
    done
    pause 3
    changes
    touch "$run/enough"
    wait "$feeder" || fail "the feeder"
    kcat -b "$broker" -C -t ticks -e -q -X isolation.level=read_committed -f '%p %T\n' > "$run/ticks" 2> "$run/kcat.err" || fail "reading ticks"
    python3 - "$run" "$mode" "$((state >> 20))" "$joined" "$copied" "$partitions" << 'X'
import collections, sys
run, mode, state, joined, copied = sys.argv[1:6]
partitions = int(sys.argv[6])
times = collections.defaultdict(list)
for line in open(f"{run}/ticks"):
    partition, at = line.split()
    times[partition].append(int(at))
joins, kills, ends = (int(line) for line in open(f"{run}/changes"))
def longest(start, end):
    def of(at):
        # One that gives nothing at the beginning or at the end stood still then.
        at = [start] + sorted(t for t in at if start < t <= end) + [end]
        return max((b - a for a, b in zip(at, at[1:])), default=0)
    return sorted((of(times[str(partition)]) for partition in range(partitions)), reverse=True)
quiet, join, kill = longest(joins - 2_500, joins), longest(joins, kills), longest(kills, ends)
print(f"{mode}: {state} MiB of state in {len(times)} partitions, the longest that a partition's results stood still: quiet {quiet[0]} ms; one worker to two "
      f"{join[0]} ms ({copied} key groups from copies, {joined} ms from the start of the second worker), middle of all {join[len(join) // 2]} ms; one of two killed {kill[0]} ms")
X
    for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
    wait 2> /dev/null || true
    pids=()
done

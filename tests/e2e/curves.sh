#!/usr/bin/env bash
# What a record costs as something grows: CURVES of keys (10^2 to 10^7), windows that overlap (1 to 1,000), partitions (1 to 600), workers
# (1 to 4). Each run reads N records of JSON (keys: as many as there are keys, if those are more) to their end from a broker process, exactly once with a
# commit each second, to a blackhole; it prints a line with the CPU time of the whole worker process or processes per record, the most
# memory of one, and the wall time. MILLSTREAM names the program. Not among the tests: it measures; run it on a machine that does nothing else.
# MILLSTREAM=target/release/millstream bash tests/e2e/curves.sh
. "$(dirname "$0")/lib.sh"
n="${N:-4000000}"
work="$(mktemp -d)"
broker_pid=''
trap 'set +e; [ -z "$broker_pid" ] || { kill -9 "$broker_pid"; wait "$broker_pid" 2> /dev/null; }; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
start_broker "$work/broker" --set flush.mode=interval --set log.retention.ms=-1
# load TOPIC RECORDS KEYS PARTITIONS: records of an hour of event time, whose keys come in no order.
load() {
    "$millstream" topic create "$1" --bootstrap "$broker" --partitions "$4" > /dev/null
    python3 - "$2" "$3" << 'X' | "$millstream" produce "$1" --bootstrap "$broker" --key-separator $'\t' > /dev/null
import sys
records, keys = int(sys.argv[1]), int(sys.argv[2])
lines = []
for i in range(records):
    key = i * 2654435761 % keys
    lines.append(f'{key}\t{{"k":{key},"v":{i % 1000},"at":{1760000000000 + i * 3600000 // records}}}\n')
    if len(lines) == 10000:
        sys.stdout.write("".join(lines))
        lines.clear()
sys.stdout.write("".join(lines))
X
}
# pipeline NAME TOPIC PARTITIONS FROM: counts and sums of each key in windows.
pipeline() {
    cat > "$work/$1.yaml" << X
version: 1
name: $1
broker: $broker
schemas: { sale: { fields: { k: { type: int64, required: true }, v: { type: int64, required: true }, at: { type: timestamp_ms, required: true } } } }
topics: { sales: { name: $2, partitions: $3, key: k, retention: forever } }
sources: { sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 5s }, until: end } }
transforms:
  summed:
    type: sql
    inputs: [sales]
    sql: SELECT k, window_end, COUNT(*) AS n, SUM(v) AS total FROM $4 GROUP BY k, window_start, window_end
sinks: { nothing: { type: blackhole, inputs: [summed] } }
X
}
# measure WHAT NAME RECORDS WORKERS: runs it.
measure() {
    local began at pids=()
    began="$(date +%s%N)"
    for at in $(seq "$4"); do
        /usr/bin/time -f '%U %S %M' -o "$work/$2.time-$at" "$millstream" run "$work/$2.yaml" --data "$work/data-$2-$at" --instance "w$at" \
            > "$work/$2.log-$at" 2> "$work/$2.err-$at" &
        pids+=($!)
    done
    for at in "${pids[@]}"; do
        wait "$at" || { tail -n 20 "$work/$2".err-*; echo "FAIL: $1"; exit 1; }
    done
    # Each worker tells of all partitions.
    [ "$(grep -lx "read  *$3" "$work/$2".log-* | wc -l)" = "$4" ] || { tail -n 20 "$work/$2".log-*; echo "FAIL: $1: not all of $3 records were read"; exit 1; }
    cat "$work/$2".time-* | awk -v what="$1" -v n="$3" -v ns="$(($(date +%s%N) - began))" '
        { cpu += $1 + $2; if ($3 > most) most = $3 }
        END { printf "%-28s %9d records %6.0f ns of CPU each %7.2f CPU-s %7.2f s %6d MB\n", what, n, cpu * 1e9 / n, cpu, ns / 1e9, most / 1024 }'
    rm -rf "$work/data-$2"-*
}
for curve in ${CURVES:-keys windows partitions workers}; do
    case "$curve" in
        keys)
            for keys in 100 1000 10000 100000 1000000 10000000; do
                records=$((keys > n ? keys : n))
                load "keys-$keys" "$records" "$keys" 1
                pipeline "by-keys-$keys" "keys-$keys" 1 "TUMBLE(sales, at, INTERVAL '1 day')"
                measure "$keys keys" "by-keys-$keys" "$records" 1
                "$millstream" topic delete "keys-$keys" --bootstrap "$broker" > /dev/null
            done ;;
        windows)
            load overlapping "$n" 100 1
            for windows in 1 10 100 1000; do
                pipeline "over-$windows" overlapping 1 "HOP(sales, at, INTERVAL '10 seconds', INTERVAL '$((10 * windows)) seconds')"
                measure "$windows windows over a record" "over-$windows" "$n" 1
            done ;;
        partitions)
            for partitions in 1 6 60 600; do
                load "parted-$partitions" "$n" 10000 "$partitions"
                pipeline "of-$partitions" "parted-$partitions" "$partitions" "TUMBLE(sales, at, INTERVAL '1 minute')"
                measure "$partitions partitions" "of-$partitions" "$n" 1
            done ;;
        workers)
            for workers in 1 2 4; do
                [ "$workers" -gt 1 ] || load shared "$n" 10000 8
                pipeline "by-$workers" shared 8 "TUMBLE(sales, at, INTERVAL '1 minute')"
                measure "$workers workers" "by-$workers" "$n" "$workers"
            done ;;
        *) echo "CURVES has $curve: keys, windows, partitions and workers are there"; exit 2 ;;
    esac
done

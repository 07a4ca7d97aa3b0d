#!/usr/bin/env bash
# Nexmark: events as JSON in topics of a broker process, each query by a worker that reads them to their end. First CHECK events
# are run with rows to a topic, held against a recount; then N events are run to a blackhole, exactly once with a commit each
# second, and what the worker took is printed. FLINK is a command that runs Apache Flink on the same topic in the same run, as
# `FLINK QUERIES PREFIX PARALLELISM STATE CHECKPOINT_MS SINK OUT_OF_ORDER_MS BROKER`, and prints a line of JSON with
# `query` and `job_cpu_s` for each; the first query is run twice, since a virtual machine is slow at first.
# N=0 leaves the timed part out. QUERIES, ROUNDS; MILLSTREAM and NEXMARK_EVENTS name the programs (optimised ones, for figures).
set -euo pipefail
cd "$(dirname "$0")/../.."
n="${N:-5000000}" check="${CHECK:-200000}" rate="${RATE:-10000}" rounds="${ROUNDS:-1}"
read -ra queries <<< "${QUERIES:-q0 q1 q2 q5 q7 q8 q11}"
. tests/e2e/lib.sh
events="${NEXMARK_EVENTS:-}"
if [ -z "$events" ]; then
    cargo build --quiet -p millstream --example nexmark_events
    events="$target/debug/examples/nexmark_events"
fi
work="$(mktemp -d)"
broker_pid=''
trap 'set +e; [ -z "$broker_pid" ] || { kill -9 "$broker_pid"; wait "$broker_pid" 2> /dev/null; }; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
start_broker "$work/broker" --set flush.mode=interval --set log.retention.ms=-1
# What the queries read: bids, and of q8 those who sell.
kinds=()
[ "${queries[*]}" = q8 ] || kinds+=(bid)
[[ " ${queries[*]} " != *" q8 "* ]] || kinds+=(person auction)
of() { # QUERY
    if [ "$1" = q8 ]; then echo person auction; else echo bid; fi
}
load() { # NAME EVENTS RATE
    mkdir "$work/$1"
    for kind in "${kinds[@]}"; do
        "$events" "$kind" "$2" "$3" > "$work/$1/$kind.jsonl"
        "$millstream" topic create "$1-$kind" --bootstrap "$broker" --partitions 1 > /dev/null
        "$millstream" produce "$1-$kind" --bootstrap "$broker" --file "$work/$1/$kind.jsonl" > /dev/null
    done
}
run() { # QUERY PIPELINE NAME EVENTS
    local topics=()
    for kind in $(of "$1"); do topics+=(--set "topics.$kind.name=$4-$kind"); done
    BROKER="$broker" "$millstream" run "$2" --data "$work/data-$3" --set name="$3" "${topics[@]}" > "$work/$3.log" 2> "$work/$3.err" ||
        { cat "$work/$3.log" "$work/$3.err"; echo "FAIL: $1"; exit 1; }
}
load small "$check" 500
for query in "${queries[@]}"; do
    sed -e 's/type: blackhole/type: topic, topic: rows/' -e "s/^sources:/  rows: { name: rows-$query, partitions: 1 }\n&/" \
        "tests/nexmark/$query.yaml" > "$work/$query.yaml"
    run "$query" "$work/$query.yaml" "check-$query" small
    "$millstream" consume "rows-$query" --bootstrap "$broker" --until-end --isolation read_committed > "$work/$query.rows"
    python3 tests/nexmark/recount.py "$query" "$work/small" "$work/$query.rows"
done
[ "$n" -gt 0 ] || { echo "nexmark: ${#queries[@]} queries as recounted"; exit; }
load nx "$n" "$rate"
declare -A cpu peer count
for query in "${queries[@]}"; do
    count[$query]=0
    for kind in $(of "$query"); do count[$query]=$((count[$query] + $(wc -l < "$work/nx/$kind.jsonl"))); done
done
for round in $(seq "$rounds"); do
    for query in "${queries[@]}"; do
        TIMEFORMAT='%R %U %S'
        { time run "$query" "tests/nexmark/$query.yaml" "$query-$round" nx; } 2> "$work/time"
        grep -q "read  *${count[$query]}" "$work/$query-$round.log" || { cat "$work/$query-$round.log"; echo "FAIL: $query did not read ${count[$query]} events"; exit 1; }
        read -r wall user system < "$work/time"
        cpu[$query]=$(awk -v u="$user" -v s="$system" 'BEGIN { print u + s }')
        echo "millstream $query: ${count[$query]} events, $wall s, ${cpu[$query]} CPU-s of the whole worker"
    done
    if [ -n "${FLINK:-}" ]; then
        IFS=, eval 'list="${queries[*]}"'
        $FLINK "${queries[0]},$list" nx- 1 hashmap 0 blackhole 0 "$broker" > "$work/flink" 2> "$work/flink.err" || { cat "$work/flink.err"; exit 1; }
        while read -r query seconds; do peer[$query]=$seconds; done < <(
            sed -n 's/.*"query":"\([^"]*\)".*"job_cpu_s":\([0-9.]*\).*/\1 \2/p' "$work/flink"
        )
        echo "query  CPU-s  Flink's  ratio events a CPU-second"
        for query in "${queries[@]}"; do
            awk -v q="$query" -v a="${cpu[$query]}" -v b="${peer[$query]:-0}" -v n="${count[$query]}" \
                'BEGIN { printf "%-5s %6.2f %8.2f %6.1f %12d\n", q, a, b, b / a, n / a }'
        done
    fi
done

#!/usr/bin/env bash
# Nexmark: events as JSON in topics of a broker process, each query by a worker that reads them to their end. First CHECK events
# are run with rows to a topic, held against a recount; then N events are run to a blackhole, exactly once with a commit each
# second, and what the worker took is printed. FLINK is a command that runs Apache Flink on the same topic in the same run, as
# `FLINK QUERIES PREFIX PARALLELISM STATE CHECKPOINT_MS SINK OUT_OF_ORDER_MS BROKER`, and prints a line of JSON with
# `query` and `job_cpu_s` for each; KSTREAMS one that runs Kafka Streams, as `KSTREAMS QUERIES PREFIX THREADS mem|rocksdb alo|eos SINK BROKER`,
# with `query`, `cpu_s` and `dropped_late`; it goes by records' timestamps and keys, so that LOADER has to name a command that
# writes the same events with them: `LOADER -n EVENTS -rate RATE -kafka BROKER -prefix PREFIX -partitions 1`. A peer's first query is run twice, since a virtual machine is slow at first.
# PEERS names a folder with all three (`get.sh` brings what they need into $W, `flink/run.sh`, `kstreams/run.sh`), for those that are not named.
# FLINK_CHECKPOINT_MS=1000 and KSTREAMS_GUARANTEE=eos have the peers exactly once too; without them Flink makes no checkpoints, and Kafka Streams is at least once.
# N=0 leaves the timed part out. QUERIES, ROUNDS; MILLSTREAM and NEXMARK_EVENTS name the programs (optimised ones, for figures).
set -euo pipefail
cd "$(dirname "$0")/../.."
n="${N:-5000000}" check="${CHECK:-200000}" rate="${RATE:-10000}" rounds="${ROUNDS:-1}"
read -ra queries <<< "${QUERIES:-q0 q1 q2 q3 q4 q5 q7 q8 q11}"
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
# What the queries read.
of() { # QUERY
    case "$1" in
        q3 | q8) echo person auction ;;
        q4) echo auction bid ;;
        *) echo bid ;;
    esac
}
mapfile -t kinds < <(for query in "${queries[@]}"; do of "$query"; done | tr ' ' '\n' | sort -u)
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
[ "$((n % 50))" -eq 0 ] || { echo "N is $n: a multiple of 50 has whole groups of a person, three auctions and 46 bids"; exit 2; }
if [ -n "${PEERS:-}" ]; then
    export W="${W:-${XDG_CACHE_HOME:-$HOME/.cache}/nexmark-peer}"
    bash "$PEERS/get.sh" > "$work/peers" 2>&1 || { cat "$work/peers"; echo "FAIL: bringing the peers of $PEERS; PEERS= runs without them"; exit 1; }
    FLINK="${FLINK:-bash $PEERS/flink/run.sh}" KSTREAMS="${KSTREAMS:-bash $PEERS/kstreams/run.sh}" LOADER="${LOADER:-$W/nexgen}"
fi
if [ -n "${LOADER:-}" ]; then $LOADER -n "$n" -rate "$rate" -kafka "$broker" -prefix nx- -partitions 1; else load nx "$n" "$rate"; fi
declare -A share=([person]=1 [auction]=3 [bid]=46)
declare -A cpu flink kstreams dropped count
IFS=, eval 'list="${queries[0]},${queries[*]}"'
# The harness of Kafka Streams has no q4.
kstreams_list="$(tr ',' '\n' <<< "$list" | grep -vx q4 | paste -sd, || true)"
for query in "${queries[@]}"; do
    count[$query]=0
    for kind in $(of "$query"); do count[$query]=$((count[$query] + n / 50 * share[$kind])); done
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
        $FLINK "$list" nx- 1 hashmap "${FLINK_CHECKPOINT_MS:-0}" blackhole 0 "$broker" > "$work/flink" 2> "$work/flink.err" || { cat "$work/flink.err"; exit 1; }
        while read -r query seconds; do flink[$query]=$seconds; done < <(
            sed -n 's/.*"query":"\([^"]*\)".*"job_cpu_s":\([0-9.]*\).*/\1 \2/p' "$work/flink"
        )
    fi
    if [ -n "${KSTREAMS:-}" ] && [ -n "$kstreams_list" ]; then
        $KSTREAMS "$kstreams_list" nx- 1 mem "${KSTREAMS_GUARANTEE:-alo}" blackhole "$broker" > "$work/kstreams" 2> "$work/kstreams.err" || { cat "$work/kstreams.err"; exit 1; }
        while read -r query seconds late; do kstreams[$query]=$seconds dropped[$query]=$late; done < <(
            sed -n 's/.*"query":"\([^"]*\)".*"cpu_s":\([0-9.]*\),"dropped_late":\([0-9]*\).*/\1 \2 \3/p' "$work/kstreams"
        )
    fi
    echo "query  CPU-s  events a CPU-s | Flink's CPU-s, times | Kafka Streams' CPU-s, times, records that it dropped as late"
    for query in "${queries[@]}"; do
        awk -v q="$query" -v a="${cpu[$query]}" -v f="${flink[$query]:--}" -v k="${kstreams[$query]:--}" -v d="${dropped[$query]:--}" -v n="${count[$query]}" \
            'function times(x) { return x == "-" ? "-" : sprintf("%.1f", x / a) }
             BEGIN { printf "%-5s %6.2f %15d | %7s %6s | %8s %6s %9s\n", q, a, n / a, f, times(f), k, times(k), d }'
    done
done

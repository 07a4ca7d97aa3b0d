#!/usr/bin/env bash
# Several pipelines in one process, from files that come, change and go: one whose edits are taken up at a commit, with its state and each
# record once, refused, or rolled back; one with a fault, one that fails, one of the same name, and the others go on; a limit of memory that sends one's state
# to the local disk while the other's stays in memory, and a limit of CPU that is kept while the other goes at full speed. N records, SALES;
# MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
n="${N:-150000}" sales="${SALES:-20000}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 60 "$work"/*.log "$work"/*.err; exit 1; }
p="$work/pipelines"
mkdir "$p"
# Puts a file in its place as editors do: aside, and then renamed.
save() { cat > "$work/aside" && mv "$work/aside" "$p/$1"; }
# until_so SECONDS WHAT COMMAND...: waits until a command succeeds.
until_so() {
    local deadline=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "$what"
        kill -0 "$worker" 2> /dev/null || fail "the worker ended before this: $what"
        pause 0.1
    done
}
# said TEXT [TIMES]: whether the worker has said it, so many times at least.
said() { [ "$(cat "$work/worker.log" "$work/worker.err" | grep -cF -- "$1")" -ge "${2:-1}" ]; }
fetch() { curl -m 30 -fsS "http://$metrics/metrics" > "$work/metrics"; }
# metric NAME LABELS...: the sum of a figure's values whose labels have all of these.
metric() {
    fetch || return 1
    awk -v name="$1{" -v a="${2:-}" -v b="${3:-}" 'index($0, name) == 1 && index($0, a) && index($0, b) { sum += $NF } END { printf "%.3f\n", sum }' "$work/metrics"
}
at_least() { local value; value="$(metric "${@:2}")" && awk -v a="$value" -v b="$1" 'BEGIN { exit !(a >= b) }'; }
is() { at_least 1 millstream_worker_file_state "file=\"$p/$1\"" "state=\"$2\""; }
lines() { "$millstream" consume "$1" --bootstrap "$broker" --from beginning --until-end --isolation read_committed; }

start() { # [ARGUMENT...]
    : > "$work/worker.log"
    "$millstream" worker "$p" --data "$work/data" --listen 127.0.0.1:0 --metrics 127.0.0.1:0 "$@" > "$work/worker.log" 2>> "$work/worker.err" &
    worker=$!
    pids+=("$worker")
    until_so 60 "the worker did not start" said "ready "
    broker=$(sed -n 's/^ready //p' "$work/worker.log")
    metrics=$(sed -n 's/^metrics //p' "$work/worker.log")
}
: > "$work/worker.err"
start
make_topic clicks --partitions 4 > "$work/create.log"
make_topic sales --partitions 4 >> "$work/create.log"
make_topic events --partitions 1 >> "$work/create.log"
python3 - "$n" "$sales" "$work" << 'X'
import collections, random, sys
n, sales, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with open(f"{work}/clicks", "w") as out:
    out.writelines(f'user {i:0100}\t{{"user":"user {i:0100}","v":{i % 1000},"at":{1767225600000 + i * 3000000 // n}}}\n' for i in range(n))
rng, sums = random.Random(1), collections.defaultdict(lambda: [0, 0])
for part in ["first", "second", "third"]:
    with open(f"{work}/{part}", "w") as out:
        for _ in range(sales):
            sku, qty = f"p{rng.randrange(500)}", rng.randrange(1, 9)
            sums[sku][0] += 1
            sums[sku][1] += qty
            out.write(f'{sku}\t{{"sku":"{sku}","qty":{qty}}}\n')
with open(f"{work}/wanted", "w") as out:
    out.writelines(f"{sku} {n} {qty}\n" for sku, (n, qty) in sorted(sums.items()))
X
produce() { "$millstream" produce "$1" --bootstrap "$broker" --key-separator $'\t' --file "$work/$2" >> "$work/produce.log" || fail "producing $2"; }
produce clicks clicks
produce sales first
printf 'a\t{"id":"a"}\nb\tnonsense\nc\t{"id":"c"}\n' > "$work/events"
produce events events

# clicks_of NAME LIMITS UNTIL [QUERIES]: a window of each user, all of which are open until the end; by so many queries.
clicks_of() {
    local queries='' inputs='' query
    for query in $(seq "${4:-1}"); do
        inputs="$inputs${inputs:+, }summed$query"
        queries="$queries
  summed$query:
    type: sql
    inputs: [clicks]
    sql: |
      SELECT user, window_start, COUNT(*) AS n, SUM(v${deep:-}) AS v, MIN(at) AS first, MAX(at) AS last, $query AS query
      FROM TUMBLE(clicks, at, INTERVAL '1 hour') GROUP BY user, window_start, window_end"
    done
    save "$1.yaml" << X
version: 1
name: $1
limits: { $2 }
defaults: { commit_interval: 200ms }
schemas: { click: { fields: { user: { type: string, required: true }, v: { type: int64, required: true }, at: { type: timestamp_ms, required: true } } } }
topics:
  clicks: { partitions: 4, key: user }
  $1_out: { partitions: 2, key: user, retention: forever }
sources:
  clicks: { type: topic, topic: clicks, schema: click, watermark: { column: at, delay: 1h }$3 }
transforms:$queries
sinks:
  out: { type: topic, inputs: [$inputs], topic: $1_out }
X
}
sums() { # COMMIT_INTERVAL SINKS
    save sums.yaml << X
version: 1
name: sums
defaults: { commit_interval: $1 }
schemas: { sale: { fields: { sku: { type: string, required: true }, qty: { type: int64, required: true } } } }
topics:
  sales: { partitions: 4, key: sku }
  sums:  { partitions: 2, key: sku, cleanup: compact }
sources:
  sales: { type: topic, topic: sales, schema: sale }
transforms:
  summed:
    type: sql
    inputs: [sales]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty) AS qty FROM sales GROUP BY sku
    emit: { on_update: 100ms }
sinks:
  sums: { type: topic, inputs: [summed], topic: sums }
$2
X
}
events() { # ACTION
    save events.yaml << X
version: 1
name: events
schemas: { event: { fields: { id: { type: string, required: true } } } }
topics: { events: { partitions: 1 } }
sources: { events: { type: topic, topic: events, schema: event } }
transforms: { good: { type: filter, inputs: [events], where: "id <> ''" } }
sinks: { away: { type: blackhole, inputs: [good] } }
errors: { data: { action: $1 } }
X
}

# Each for itself: good ones, one with a fault, one that fails.
began=$(date +%s.%N)
clicks_of slow 'cpu: 0.2' '' 8
clicks_of fast '' ''
clicks_of large 'memory: 16MiB' ''
sums 200ms ''
events stop
printf 'version: 1\nname: broken\nsorces: {}\n' | save broken.yaml
until_so 120 "the file with a fault was not told of" said "broken.yaml:3:1: error[MS"
is broken.yaml faulty || fail "broken.yaml is not shown as faulty"
until_so 120 "sums did not begin" said "sums: running"
until_so 120 "the one that fails was not begun again" at_least 2 millstream_worker_failures_total 'pipeline="events"'
said "events: failed; it begins again" || fail "it was not told that events failed"
# One that failed and waits keeps its name.
cp "$p/events.yaml" "$work/copy" && save events-too.yaml < "$work/copy"
until_so 60 "a second file of the same name was not refused" said "the name \"events\" at $p/events-too.yaml:2:7 is the one at $p/events.yaml:2:7 too"
failures=$(metric millstream_worker_failures_total "file=\"$p/events.yaml\"")
until_so 60 "the one that fails was not begun again beside its copy" at_least "$((${failures%.*} + 2))" millstream_worker_failures_total "file=\"$p/events.yaml\""

# The limit of CPU: what it has since its file was there, while the others have read all there is. Who has used more pays it back before it takes
# more in, so its share falls below its limit again and again, however loaded the machine is; a share measured over one span may be anything below.
# The limit of memory: what is more lies on the disk.
until_so 120 "slow was never held down" at_least 0.5 millstream_stage_throttled_seconds_total 'pipeline="slow"'
for name in fast large; do
    until_so 300 "$name did not read all clicks" at_least "$n" millstream_stage_records_total "pipeline=\"$name\""
done
at_least 1 millstream_stage_lag_records 'pipeline="slow"' || fail "slow was as fast as fast"
disk() { metric millstream_operator_state_disk_bytes "pipeline=\"$1\""; }
until_so 60 "the state of large is not on the disk" at_least 1000000 millstream_operator_state_disk_bytes 'pipeline="large"'
until_so 60 "the state of fast is smaller than the other's limit" at_least 16777216 millstream_pipeline_memory_bytes 'pipeline="fast"' 'kind="state"'
on_disk=$(disk large)
[ "$(disk fast)" = 0.000 ] || fail "fast, without a limit, has $(disk fast) bytes on the disk"
until_so 120 "slow was not held down for long" at_least 5 millstream_stage_throttled_seconds_total 'pipeline="slow"'
within() {
    share=$(awk -v used="$(metric millstream_pipeline_cpu_seconds_total 'pipeline="slow"')" -v t="$began" -v u="$(date +%s.%N)" 'BEGIN { printf "%.3f", used / (u - t) }')
    awk -v share="$share" 'BEGIN { exit !(share > 0 && share <= 0.21) }'
}
until_so 120 "slow does not come back to the 0.2 cores that it may use" within

# One that goes is stopped at a commit, held down or not.
rm "$p/slow.yaml"
until_so 30 "slow was not stopped" said "slow: stopped"
is slow.yaml gone || fail "slow.yaml is not shown as gone"

# All windows end with clicks of a later day: what was on the disk comes out as what was not.
python3 -c '
for i in range(64): print(f"late {i}\t{{\"user\":\"late {i}\",\"v\":0,\"at\":1767312000000}}")' > "$work/late"
produce clicks late
windows() {
    lines "$1_out" | python3 -c '
import json, sys
n, rows = int(sys.argv[1]), [json.loads(line) for line in sys.stdin]
assert len({row["user"] for row in rows}) == len(rows) <= n and all(row["n"] == 1 for row in rows), len(rows)
sys.exit(0 if len(rows) == n and sum(row["v"] for row in rows) == sum(i % 1000 for i in range(n)) else 1)' "$n"
}
for name in fast large; do
    until_so 120 "what $name gave is not what the clicks give" windows "$name"
done

# A good edit, while records come: at a commit, with its state.
produce sales second &
pids+=($!)
sums 150ms '  more: { type: blackhole, inputs: [summed] }'
until_so 60 "the edit was not taken up" said "sums: running" 2
said "sums:   = summed keeps its state" || fail "the edit's plan was not told"
at_least 1 millstream_worker_swaps_total 'pipeline="sums"' || fail "the swap is not counted"
# A copy has a name that is taken, whatever becomes of the other.
cp "$p/sums.yaml" "$work/copy" && save copy.yaml < "$work/copy"
until_so 60 "a second file of the same name was not refused" said "the name \"sums\" at $p/copy.yaml:2:7 is the one at $p/sums.yaml:2:7 too"
# One with a fault leaves what runs alone; so does one that cannot begin.
sums 10h ''
until_so 60 "the faulty edit was not told of" said "sums: goes on as it was"
[ "$(metric millstream_worker_file_behind 'pipeline="sums"')" = 1.000 ] || fail "a faulty edit is not shown"
sums 150ms "  more: { type: sqlite, inputs: [summed], path: $p/sums.yaml/x.db, table: t, mode: upsert, key: [sku] }"
until_so 60 "the edit that cannot begin was not rolled back" said "sums: the new version did not start; the one before goes on"
until_so 60 "the version before did not begin" said "sums: running" 3
at_least 1 millstream_worker_rollbacks_total 'pipeline="sums"' || fail "the rollback is not counted"
for copy in copy.yaml events-too.yaml; do
    is "$copy" refused || fail "$copy is not shown as refused"
    [ "$(grep -cF "at $p/$copy:2:7 is the one at" "$work/worker.err")" = 1 ] || fail "$copy was not refused once"
    rm "$p/$copy"
    until_so 60 "$copy is not shown as gone" is "$copy" gone
done
said "running ($p/copy.yaml)" || said "running ($p/events-too.yaml)" && fail "a copy ran"
sums 150ms ''
until_so 60 "the file was not mended" said "sums: running" 4
# Another name of the file is no other pipeline.
mv "$p/sums.yaml" "$p/totals.yaml"
until_so 60 "the file was not found under its new name" said "sums: running ($p/totals.yaml)"
produce sales third
same() {
    lines sums | python3 -c '
import json, sys
# The last of each key counts.
rows = {row["sku"]: row for row in map(json.loads, sys.stdin)}
print("".join(sorted("{sku} {n} {qty}\n".format(**row) for row in rows.values())), end="")' > "$work/found"
    cmp -s "$work/found" <(sort "$work/wanted")
}
until_so 60 "the sums are not those of the sales" same
# What failed is mended by an edit.
events dead_letter
until_so 90 "the edit did not mend events" said "events: running" 2
until_so 60 "events is not shown as running" is events.yaml running
until_so 60 "the bad record is not with the dead letters" at_least 1 millstream_stage_counts_total 'pipeline="events"' 'what="rejected.'

# It ends with what is not as the files say, and without that with 0.
kill -TERM "$worker"
code=0
wait "$worker" || code=$?
[ "$code" = 1 ] || fail "it ended with $code, and a file has faults"
said "not all ran as their files say: $p/broken.yaml (faulty)" || fail "it did not end with what is not as it should be"
rm "$p"/*.yaml
# A sum of many terms is planned one call deep for each.
deep=$(printf ' + v%.0s' $(seq 200))
clicks_of again 'cpu: 4, memory: 64MiB' ', until: end'
start --no-watch
code=0
wait "$worker" || code=$?
[ "$code" = 0 ] || fail "a worker whose input was done ended with $code"
said "again: done" || fail "again did not come to its end"
echo "several pipelines ok: $n clicks; with 0.2 cores $share; ${on_disk%.*} B of state on the disk within 16 MiB; $((3 * sales)) sales once each over two swaps, a rollback and a file's new name"

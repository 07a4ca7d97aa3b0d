#!/usr/bin/env bash
# click-sessions on a broker process: clicks that a stock producer might have written, two workers of which one is killed
# with SIGKILL again and again, the topic of results held against a recount. N clicks, SEED, KILLS; MILLSTREAM names the
# program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-20000}" seed="${SEED:-1}" kills="${KILLS:-3}"
pipeline=pipelines/examples/click-sessions/pipeline.yaml
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
# Clicks of 300 users in order up to a second, over six hours; what their visits are by one look at each user's clicks.
python3 - "$n" "$seed" "$work" <<'X'
import collections, datetime, json, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
start = 1_767_261_600_000
iso = lambda ms: datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"
users = [(f"u{i}", rng.choice(["IN", "DE", "BR", "KE"])) for i in range(300)]
clicks = collections.defaultdict(list)
with open(f"{work}/clicks", "w") as out:
    for i in range(n):
        user, country = rng.choice(users[: 40 if rng.random() < 0.5 else 300])
        at = start + i * 6 * 3_600_000 // n - rng.randrange(1_000)
        clicks[user, country].append(at)
        out.write(f"{user}\t" + json.dumps({"user_id": user, "country": country, "at": at, "page": f"/{i % 7}"}) + "\n")
hours = collections.defaultdict(lambda: [0, 0])
def visit(country, pages, last):
    hour = hours[country, (last + 600_000) // 3_600_000 * 3_600_000]
    hour[0] += 1
    hour[1] += pages
for (user, country), times in clicks.items():
    times.sort()
    pages, last = 0, None
    for at in times:
        if last is not None and at - last > 600_000:
            visit(country, pages, last)
            pages = 0
        pages, last = pages + 1, at
    visit(country, pages, last)
with open(f"{work}/wanted", "w") as out:
    for (country, hour), (visits, pages) in sorted(hours.items()):
        out.write(json.dumps({"country": country, "window_start": iso(hour), "visits": visits, "pages": pages}, separators=(",", ":")) + "\n")
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
make_topic clicks --partitions 4 > "$work/create.log"
"$millstream" produce clicks --bootstrap "$broker" --key-separator $'\t' --file "$work/clicks" > "$work/produce.log" || fail "the clicks"
worker() { # NAME
    BROKER="$broker" "$millstream" run $pipeline --data "$work/data-$1" --instance "$1" --set sources.clicks.until=end \
        --set defaults.commit_interval=50ms --set defaults.snapshot_after=1KiB >> "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
}
worker a
a="${pids[-1]}"
worker b
b="${pids[-1]}"
RANDOM="$seed"
killed=0
kill_again "$a" "$kills" worker a
wait "$pid" || fail "the worker that was killed and came back failed"
wait "$b" || fail "the other worker failed"
"$millstream" consume hourly --bootstrap "$broker" --from beginning --until-end --isolation read_committed > "$work/hourly" 2> "$work/consume.err" || fail "reading the result"
sort "$work/hourly" > "$work/found"
sort "$work/wanted" > "$work/sorted"
diff "$work/sorted" "$work/found" > "$work/diff.log" || fail "the rows are not those of the recount"
[ "$killed" -gt 0 ] || fail "nothing was killed; take a larger N"
# A run to the end ends while others write on, with a worker for each half of the topic.
"$millstream" produce clicks --bootstrap "$broker" --key-separator $'\t' --file "$work/clicks" > "$work/more.log" 2>&1 &
more=$!
pids+=("$more")
worker a
a="${pids[-1]}"
worker b
wait "$a" || fail "a run beside a producer"
wait "${pids[-1]}" || fail "a run beside a producer"
wait "$more" || fail "the producer beside a run"
# Live: one user's clicks lie in one partition, so one of two workers has nothing to do. An hour's row comes all the same.
live() { # NAME
    BROKER="$broker" "$millstream" run $pipeline --data "$work/live-$1" --instance "$1" --set name=live \
        --set topics.clicks.name=l-clicks --set topics.visits.name=l-visits --set topics.hourly.name=l-hourly \
        --set defaults.commit_interval=50ms >> "$work/live-$1.log" 2>> "$work/live-$1.err" &
    pids+=($!)
}
live a
a="${pids[-1]}"
live b
until "$millstream" topic list --bootstrap "$broker" | grep -q l-hourly; do
    kill -0 "$a" || fail "a live worker"
    pause 0.1
done
for i in $(seq 600); do
    # A visit each quarter of an hour of event time; what they make comes a commit behind them.
    printf 'u\t{"user_id":"u","country":"IN","at":%d}\n' $((1767261600000 + i * 900000)) |
        "$millstream" produce l-clicks --bootstrap "$broker" --key-separator $'\t' > /dev/null
    "$millstream" consume l-hourly --bootstrap "$broker" --until-end --isolation read_committed > "$work/live" 2> /dev/null || true
    [ -s "$work/live" ] && break
done
[ -s "$work/live" ] || fail "no hour came while one of two workers was quiet"
echo "$n clicks, a worker killed $killed times: $(wc -l < "$work/found") rows as recounted"

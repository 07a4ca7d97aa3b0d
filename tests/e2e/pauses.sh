#!/usr/bin/env bash
# A stream that pauses: clicks pass a query without state into a topic by another key, and are counted there by windows. Whoever waits
# has every window that the clicks closed, without another click behind them: of each of ROUNDS portions, each with two workers of its
# own that are killed with SIGKILL when its windows are there, of which the later ones find partitions one after the other; and of one
# more, of which a partition falls silent half an hour before the others. No click is late. SEED; MILLSTREAM names the program; BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
rounds="${ROUNDS:-4}" seed="${SEED:-1}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
cat > "$work/clicks.yaml" << 'X'
version: 1
name: clicks
broker: ${env:BROKER}
schemas:
  click:
    fields:
      user: { type: string, required: true }
      page: { type: string, required: true }
      at:   { type: timestamp_ms, required: true }
topics:
  clicks:  { partitions: 3, key: user }
  by_page: { partitions: 4, key: page }
  pages:   { partitions: 1, key: page, retention: forever }
sources:
  clicks: { type: topic, topic: clicks, schema: click, watermark: { column: at, delay: 1s, idle: "${env:IDLE}" } }
transforms:
  seen: { type: sql, inputs: [clicks], sql: "SELECT page, user, at FROM clicks WHERE page <> 'robots.txt'" }
  by_page: { type: topic, inputs: [seen], topic: by_page, watermark: { column: at, delay: 1s, idle: 10m } }
  counted:
    type: sql
    inputs: [by_page]
    sql: |
      SELECT page, window_start, COUNT(*) AS n FROM TUMBLE(by_page, at, INTERVAL '1 minute')
      GROUP BY page, window_start, window_end
sinks:
  pages: { type: topic, inputs: [counted], topic: pages }
X
# Portions of an hour each, a file for each partition, and what is closed when each has been read: all windows of its hour, by clicks on
# every page at its end. Of the last portion, the first partition has the first half hour alone.
python3 - "$work" "$seed" "$rounds" << 'X'
import collections, json, random, sys
work, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng, now, minute = random.Random(seed), 1_700_000_040_000, 60_000
pages, windows = [f"/{number}" for number in range(12)], collections.Counter()
for portion in range(rounds + 1):
    silent = lambda partition: portion == rounds and partition == 0
    clicks = [rng.randrange(3) for _ in range(400)]
    clicks = sorted((rng.randrange((30 if silent(partition) else 60) * minute), partition) for partition in clicks)
    files = [open(f"{work}/portion-{portion}-{partition}", "w") for partition in range(3)]
    def click(partition, page, at):
        user = f"u{partition}{rng.randrange(5)}"
        files[partition].write(json.dumps({"user": user, "page": page, "at": now + at}) + "\n")
        if page != "robots.txt":
            windows[page, (now + at) // minute * minute] += 1
    for at, partition in clicks:
        click(partition, rng.choice(["robots.txt", *pages]), at)
    for partition in filter(lambda partition: not silent(partition), range(3)):
        for page in pages:
            click(partition, page, 60 * minute + 30_000)
    closed = sorted((page, start, count) for (page, start), count in windows.items() if start < now + 60 * minute)
    with open(f"{work}/wanted-{portion}", "w") as out:
        out.writelines(f"{page} {start} {count}\n" for page, start, count in closed)
    now += 61 * minute
X
make_topic clicks --partitions 3 > "$work/create.log" || fail "making a topic"
workers() { # IDLE
    for name in a b; do
        IDLE="$1" BROKER="$broker" "$millstream" run "$work/clicks.yaml" --data "$work/data-$name" --instance "$name" \
            --set defaults.commit_interval=50ms >> "$work/$name.log" 2>> "$work/$name.err" &
        pids+=($!)
    done
}
passed=0
produce() { # PORTION [apart]
    local partition file deadline=$((SECONDS + 60))
    for partition in 0 1 2; do
        file="$work/portion-$1-$partition"
        "$millstream" produce clicks --bootstrap "$broker" --partition "$partition" --file "$file" > "$work/produce.log" || fail "producing"
        passed=$((passed + $(grep -cv robots.txt "$file")))
        [ -n "${2:-}" ] || continue
        # This one's clicks have passed, and how far they have come may be known, before those of the next are there.
        until [ "$("$millstream" consume by_page --bootstrap "$broker" --from beginning --until-end --isolation read_committed 2> "$work/consume.err" | wc -l)" -ge "$passed" ]; do
            [ $SECONDS -lt $deadline ] || fail "portion $1: clicks of partition $partition do not pass"
            pause 0.1
        done
        pause 0.5
    done
}
# The result, as page, start of the window in milliseconds, and count.
found() {
    "$millstream" consume pages --bootstrap "$broker" --from beginning --until-end --isolation read_committed 2> "$work/consume.err" | python3 -c '
import datetime, json, sys
for line in sys.stdin:
    row = json.loads(line)
    at = datetime.datetime.fromisoformat(row["window_start"].replace("Z", "+00:00")).replace(tzinfo=datetime.timezone.utc)
    print(row["page"], int(at.timestamp() * 1000), row["n"])' | sort > "$work/found"
}
windows() { # PORTION
    sort "$work/wanted-$1" > "$work/sorted"
    local deadline=$((SECONDS + 60)) worker
    until found && [ "$(wc -l < "$work/found")" -ge "$(wc -l < "$work/sorted")" ]; do
        for worker in "${pids[@]: -2}"; do kill -0 "$worker" 2> /dev/null || fail "a worker has ended"; done
        [ $SECONDS -lt $deadline ] || fail "portion $1: $(wc -l < "$work/found") windows came of $(wc -l < "$work/sorted") that are closed"
        pause 0.2
    done
    diff "$work/sorted" "$work/found" > "$work/diff.log" || fail "portion $1: windows are not those of the recount: $(head -n 4 "$work/diff.log")"
    kill -9 "${pids[@]: -2}"
    wait "${pids[@]: -2}" 2> /dev/null || true
}
for portion in $(seq 0 $((rounds - 1))); do
    workers 10m
    case "$portion" in 0) produce "$portion" ;; *) produce "$portion" apart ;; esac
    windows "$portion"
done
produce "$rounds"
workers 1s
windows "$rounds"
echo "$((rounds + 1)) portions, $((2 * rounds + 2)) workers killed: $(wc -l < "$work/found") windows as recounted, each without a click behind it"

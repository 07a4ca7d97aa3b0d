#!/usr/bin/env bash
# reorder-proposals, attributed-clicks and priced-sales on a broker process: two topics that stock producers might have written, of which one
# is there long before the other; two workers of which one is killed with SIGKILL again and again; what comes out held against a
# recount. Then live: a topic that is silent holds the other back for its idle time and no longer. N rows of the larger topic,
# SEED, KILLS; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-400000}" seed="${SEED:-1}" kills="${KILLS:-3}"
examples=pipelines/examples
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
# Sales and shipments of 200 products over two days, what was shown to 500 users and clicked; all in order up to a second.
python3 - "$n" "$seed" "$work" <<'X'
import bisect, collections, datetime, decimal, json, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
start, span = 1_767_261_600_000, 48 * 3_600_000
iso = lambda ms: datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"
line = lambda row: json.dumps(row, separators=(",", ":")) + "\n"
time = lambda i, of: start + i * span // of - rng.randrange(1_000)
sku = lambda: f"p{min(rng.randrange(200), rng.randrange(200))}"
balance = collections.defaultdict(lambda: [0, 0])
with open(f"{work}/sales", "w") as out:
    for i in range(n):
        row = {"sku": sku(), "store_id": f"S{i % 9}", "at": time(i, n), "qty": rng.randrange(1, 5)}
        balance[row["sku"], row["at"] // 3_600_000 * 3_600_000][0] += row["qty"]
        out.write(f"{row['sku']}\t" + line(row))
with open(f"{work}/shipments", "w") as out:
    for i in range(n // 4):
        row = {"sku": sku(), "arrived_at": time(i, n // 4), "boxes": rng.randrange(1, 4), "per_box": 6}
        balance[row["sku"], row["arrived_at"] // 3_600_000 * 3_600_000][1] += 6 * row["boxes"]
        out.write(f"{row['sku']}\t" + line(row))
with open(f"{work}/wanted-balances", "w") as out:
    for (product, hour), (sold, shipped) in balance.items():
        out.write(line({"sku": product, "hour": iso(hour), "sold": sold, "shipped": shipped}))
shown = collections.defaultdict(list)
with open(f"{work}/shown", "w") as out:
    for i in range(n // 4):
        row = {"user_id": f"u{rng.randrange(500)}", "ad": f"a{rng.randrange(5)}", "campaign_id": i % 9, "at": time(i, n // 4)}
        shown[row["user_id"], row["ad"]].append([row, []])
        out.write(f"{row['user_id']}\t" + line(row))
with open(f"{work}/clicked", "w") as out:
    for i in range(n // 8):
        row = {"user_id": f"u{rng.randrange(500)}", "ad": f"a{rng.randrange(5)}", "at": time(i, n // 8)}
        for of, clicks in shown[row["user_id"], row["ad"]]:
            if of["at"] <= row["at"] <= of["at"] + 600_000:
                clicks.append(row["at"])
        out.write(f"{row['user_id']}\t" + line(row))
with open(f"{work}/wanted-attributed", "w") as out:
    for row, clicks in (pair for pairs in shown.values() for pair in pairs):
        for at in clicks or [None]:
            out.write(line({"user_id": row["user_id"], "campaign_id": row["campaign_id"], "ad": row["ad"],
                            "shown_at": iso(row["at"]), "clicked_at": at and iso(at)}))
# What was sold at which price; prices change now and then, some twice in an instant, where the later record counts.
changes = collections.defaultdict(list)
with open(f"{work}/prices", "w") as out:
    for i in range(n // 20):
        row = {"sku": sku(), "since": time(i, n // 20) // 60_000 * 60_000, "price": rng.randrange(1, 99_999) / 100}
        changes[row["sku"]].append((row["since"], i, row["price"]))
        out.write(f"{row['sku']}\t" + line(row))
for of in changes.values():
    of.sort()
with open(f"{work}/priced", "w") as out, open(f"{work}/wanted-discounts", "w") as wanted:
    for i in range(n // 2):
        row = {"sku": sku(), "store_id": f"S{i % 9}", "at": time(i, n // 2), "qty": rng.randrange(1, 5), "paid": rng.randrange(1, 99_999) / 100}
        out.write(f"{row['sku']}\t" + line(row))
        known = bisect.bisect_right(changes[row["sku"]], (row["at"], n, 0))
        price = changes[row["sku"]][known - 1][2] if known else None
        cents = lambda amount: decimal.Decimal(str(amount)).quantize(decimal.Decimal("0.01"))
        off = "null" if price is None else row["qty"] * cents(price) - cents(row["paid"])
        head = {"sku": row["sku"], "store_id": row["store_id"], "sold_at": iso(row["at"]), "qty": row["qty"]}
        price = "null" if price is None else cents(price)
        wanted.write(line(head)[:-2] + f',"paid":{cents(row["paid"])},"price":{price},"discount":{off}}}\n')
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
worker() { # PIPELINE FIRST SECOND NAME; the topic of the first is another where RENAMED says so
    BROKER="$broker" "$millstream" run "$examples/$1/pipeline.yaml" --data "$work/data-$1-$4" --instance "$4" \
        --set "sources.$2.until=end" --set "sources.$3.until=end" ${renamed:+--set "topics.$2.name=$renamed"} --set defaults.commit_interval=50ms \
        --set defaults.snapshot_after=1KiB >> "$work/$1-$4.log" 2>> "$work/$1-$4.err" &
    pids+=($!)
}
RANDOM="$seed"
killed=0
joined() { # PIPELINE FIRST SECOND RESULT
    local a b
    for topic in "${renamed:-$2}" "$3"; do
        make_topic "$topic" --partitions 4 > "$work/create.log"
        "$millstream" produce "$topic" --bootstrap "$broker" --key-separator $'\t' --file "$work/$topic" > "$work/produce.log" || fail "producing $topic"
    done
    worker "$1" "$2" "$3" a
    a="${pids[-1]}"
    worker "$1" "$2" "$3" b
    b="${pids[-1]}"
    kill_again "$a" "$kills" worker "$1" "$2" "$3" a
    wait "$pid" || fail "$1: the worker that was killed and came back failed"
    wait "$b" || fail "$1: the other worker failed"
    "$millstream" consume "$4" --bootstrap "$broker" --from beginning --until-end --isolation read_committed > "$work/$4" 2> "$work/consume.err" || fail "reading the result"
    sort "$work/$4" > "$work/found-$4"
    sort "$work/wanted-$4" > "$work/sorted"
    diff "$work/sorted" "$work/found-$4" > "$work/diff.log" || fail "$1: the rows are not those of the recount"
}
joined reorder-proposals sales shipments balances
joined attributed-clicks shown clicked attributed
renamed=priced joined priced-sales sales prices discounts
[ "$killed" -gt 0 ] || fail "nothing was killed; take a larger N"
# Live: sales go on, and no shipment ever comes. What was sold comes all the same, when the other topic has been idle.
BROKER="$broker" "$millstream" run $examples/reorder-proposals/pipeline.yaml --data "$work/live" --instance live --set name=live \
    --set topics.sales.name=l-sales --set topics.shipments.name=l-shipments --set topics.balances.name=l-balances \
    --set topics.proposals.name=l-proposals --set sources.shipments.watermark.idle=500ms \
    --set defaults.commit_interval=50ms >> "$work/live.log" 2>> "$work/live.err" &
pids+=($!)
until "$millstream" topic list --bootstrap "$broker" | grep -q l-proposals; do
    kill -0 "${pids[-1]}" || fail "the live worker"
    pause 0.1
done
for i in $(seq 600); do
    printf 'tea\t{"sku":"tea","store_id":"S1","qty":2,"at":%d}\n' $((1767261600000 + i * 900000)) |
        "$millstream" produce l-sales --bootstrap "$broker" --key-separator $'\t' > /dev/null
    "$millstream" consume l-proposals --bootstrap "$broker" --until-end --isolation read_committed > "$work/proposals" 2> /dev/null || true
    [ -s "$work/proposals" ] && break
done
grep -q '"sku":"tea".*"supplier":"Assam Ltd","qty":[0-9]*,"cost":' "$work/proposals" || fail "no proposal came while shipments were silent"
echo "$n sales, workers killed $killed times: $(wc -l < "$work/found-balances") balances and $(wc -l < "$work/found-attributed") attributed rows and $(wc -l < "$work/found-discounts") priced sales as recounted"

#!/usr/bin/env bash
# Invoices over HTTP: many connections post them, one a request, each with its own key, and send again what was not answered;
# meanwhile the pipeline is killed with SIGKILL and started again. First it dies between a commit and its answers
# (failpoint), with refused invoices in that commit. In the end some are posted once more with the same keys.
# Shown, against a recount: each request is answered 200, the refused ones with their reason; each unique invoice is in the
# lake exactly once and each refused one in the dead letters exactly once; a request that is sent again gets the first answer
# again; each window that closed, with its late rows, has the recount's sum. Rows are late since the stores do not post in the
# order of their invoices' times. Windows that are still open at the stop are not looked at.
# N invoices, KILLS, SEED; MILLSTREAM and COUNT_ROWS name the programs.
. "$(dirname "$0")/lib.sh"
kills="${KILLS:-2}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
"$millstream" generate invoices --n "${N:-3000}" --seed "${SEED:-1}" --dir "$work/all" > /dev/null
# In folders of their own: invoices that are cut off.
for store in R1 R2 R3; do
    inbox="$work/all/stores/$store/inbox"
    mkdir -p "$inbox"
    printf '{"invoice_id":"%s","store_id":"S001"\n' "$store-1" "$store-2" "$store-3" > "$inbox/cut.jsonl"
done
total=$(cat "$work"/all/stores/*/inbox/*.jsonl | wc -l)
python3 tests/e2e/recount.py "$work/all" --windows "$work/windows.csv" > "$work/recount.json"
# The file source of the pipeline finds the table of stores and no invoice.
mkdir -p "$work/input/stores"
cp "$work/all/stores.csv" "$work/input/"
# Below the ports that the system gives to connections: one that tries a port where nobody listens may be given that very
# port, and then keeps it from the pipeline.
port=$(python3 -c '
import random, socket
while True:
    port = random.randrange(20000, 32000)
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break')
url="http://127.0.0.1:$port/v1/invoices"
export INVOICES_DIR="$work/input" INVOICES_LISTEN="127.0.0.1:$port" LAKE_URL="$work/lake"
export WAREHOUSE_DSN="sqlite:$work/warehouse.db"
lives=0
start() { # [POINT:COUNT]: sets `run`
    lives=$((lives + 1))
    MILLSTREAM_FAIL_AT="${1:-}" "$millstream" run $pipeline --data "$work/data" \
        --set defaults.commit_interval=100ms --set defaults.snapshot_after=1KiB --set defaults.trim_interval=100ms \
        --set sinks.lake.roll.interval=1s > "$work/run-$lives.log" 2> "$work/run-$lives.err" &
    run=$!
    pids+=("$run")
}
post() { # ANSWERS ARGUMENT...: sets `client`
    python3 tests/e2e/http_client.py "$url" "$@" 2> "$work/client.err" &
    client=$!
    pids+=("$client")
}
answered() { wc -l < "$work/answers"; }
until_answered() { # HOW MANY, BEFORE WHAT
    local tries=0
    until [ "$(answered)" -ge "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "only $(answered) of $total requests are answered, for a minute"
        kill -0 "$run" 2> /dev/null || fail "the pipeline ended by itself"
        kill -0 "$client" 2> /dev/null || fail "all is posted before $2; take a larger N"
        pause 0.05
    done
}

# The first commit may be the one that takes the listener, without a record; each connection posts more than one, so that
# the second commit has records. Their answers are lost, and they are sent again.
start ingest.after_commit:2
post "$work/refused" "$work"/all/stores/R*/inbox/*.jsonl
wait -n "$run" "$client" 2> /dev/null || true
grep -q 'stopped at ingest.after_commit' "$work/run-1.err" || fail "it did not die after its second commit"
start
wait "$client" || fail "posting refused invoices"

touch "$work/answers"
post "$work/answers" "$work"/all/stores/S*/inbox/*.jsonl
killed=0
while [ "$killed" -lt "$kills" ]; do
    until_answered $(($(answered) + total / (kills + 2))) "kill $((killed + 1))"
    kill -9 "$run"
    wait "$run" 2> /dev/null || true
    kill -0 "$client" 2> /dev/null || fail "all is posted before kill $((killed + 1)); take a larger N"
    killed=$((killed + 1))
    start
done
wait "$client" || fail "posting"

cat "$work/refused" >> "$work/answers"
python3 -c '
import json, sys
for line in sys.stdin:
    answer = json.loads(line)
    if "reason" in answer["body"]:
        print(answer["key"])' < "$work/answers" > "$work/keys"
post "$work/again" "$work"/all/stores/*/inbox/*.jsonl --every 10 --also "$work/keys"
wait "$client" || fail "posting some again"

wanted=$(python3 -c '
import json, sys
found = json.load(open(sys.argv[1]))
print("rows={0} distinct={0} sum={1}".format(found["unique"], found["revenue"].replace(".", "")))' "$work/recount.json")
lake() { "$count_rows" "$work/lake" store_id,invoice_id total 2> /dev/null || echo "nothing"; }
tries=0
until [ "$(lake)" = "$wanted" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || fail "the lake, a minute after all was answered: wanted $wanted, found $(lake)"
    kill -0 "$run" 2> /dev/null || fail "the pipeline ended by itself"
    pause 0.5
done
kill -TERM "$run"
wait "$run" || fail "the stop"
[ "$(lake)" = "$wanted" ] || fail "the lake after the stop: wanted $wanted, found $(lake)"

"$millstream" broker --listen 127.0.0.1:0 --data "$work/data/broker" > "$work/broker.log" 2> "$work/broker.err" &
broker_pid=$!
pids+=("$broker_pid")
until grep -q '^ready ' "$work/broker.log"; do
    kill -0 "$broker_pid" 2> /dev/null || fail "the run's broker did not start"
    pause 0.05
done
"$millstream" consume dead_letter --bootstrap "$(sed -n 's/^ready //p' "$work/broker.log")" --from beginning --until-end \
    --isolation read_committed --format json > "$work/letters" || fail "reading the dead letters"
kill "$broker_pid"
wait "$broker_pid" || fail "the broker's stop"
python3 - "$work" "$total" "$killed" <<'PY'
import collections, csv, datetime, decimal, json, os, sqlite3, sys
work, total, kills = sys.argv[1], int(sys.argv[2]), sys.argv[3]
failed = False
def hold(what, found, wanted):
    global failed
    if found != wanted:
        print(f"FAIL: {what}: wanted {wanted}, found {found}")
        failed = True
def lines(name):
    with open(os.path.join(work, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]
def ms(value):
    if isinstance(value, int) or value.lstrip("-").isdigit():
        return int(value)
    at = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return round((at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)).timestamp() * 1000)
rejected = {why: n for why, n in json.load(open(os.path.join(work, "recount.json")))["rejected"].items() if n}

answers = {answer["key"]: answer for answer in lines("answers")}
hold("requests answered", len(answers), total)
hold("statuses", dict(collections.Counter(answer["status"] for answer in answers.values())), {200: total})
bodies = [json.loads(answer["body"]) for answer in answers.values() if answer["status"] == 200]
hold("records taken in", sum(body["records"] for body in bodies), total)
# A repeat of other content is found later than the answer is given.
told = collections.Counter(one["reason"] for body in bodies for one in body["rejected"])
hold("reasons in answers", dict(told), {why: n for why, n in rejected.items() if why != "conflicting_repeat"})
if not any(answer["repeat"] for answer in lines("refused")):
    hold("refused invoices of the commit before the first death, answered after it", 0, "some")
again = lines("again")
first = {key: (200, "1", answer["body"]) for key, answer in answers.items()}
different = [one for one in again if (one["status"], one["repeat"], one["body"]) != first[one["key"]]]
for one in different[:5]:
    hold(f"the answer to {one['key']} sent again", (one["status"], one["repeat"], one["body"]), first[one["key"]])

letters = [(dict(letter["headers"])["millstream.reason"], letter["value"]) for letter in lines("letters")]
late = [json.loads(value, parse_float=decimal.Decimal) for why, value in letters if why == "late"]
found = collections.Counter(why for why, _ in letters if why != "late")
hold("late rows that are there twice", len(late) - len({(row["store_id"], row["invoice_id"]) for row in late}), 0)
hold("dead letters by reason", dict(found), rejected)

lack = collections.defaultdict(lambda: [0, 0])
for row in late:
    one = lack[row["store_id"], ms(row["issued_at"]) // 300_000 * 300_000]
    one[0] += 1
    one[1] += int(row["total"] * 100)
windows = {}
for row in csv.DictReader(open(os.path.join(work, "windows.csv"))):
    windows[row["store_id"], int(row["window_start_ms"])] = [int(row["invoices"]), int(row["revenue"].replace(".", ""))]
table = []
if os.path.exists(os.path.join(work, "warehouse.db")):
    database = sqlite3.connect(os.path.join(work, "warehouse.db"))
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'revenue'").fetchone():
        query = "SELECT store_id, window_start, invoices, replace(revenue, '.', '') FROM revenue"
        table = database.execute(query).fetchall()
hold("windows that closed, if any", bool(table), True)
for store, start, invoices, revenue in table:
    more = lack[store, ms(start)]
    sums = [invoices + more[0], int(revenue) + more[1]]
    hold(f"window {start} of {store} with its late rows", sums, windows.get((store, ms(start))))
if failed:
    sys.exit(1)
tries = sum(answer["tries"] - 1 for answer in answers.values())
repeats = sum(1 for answer in answers.values() if answer["repeat"])
print(
    f"http: {total} requests, {kills} kills and a death between a commit and its answers, {tries} more tries, {repeats} "
    f"answers given after a death for a commit before it, {len(again)} requests posted again, {sum(rejected.values())} "
    f"refused, {len(table)} windows closed, {len(late)} late rows: each landed once"
)
PY

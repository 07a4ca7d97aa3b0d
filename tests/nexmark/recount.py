#!/usr/bin/env python3
"""Holds a query's rows against a look at every event: recount.py QUERY EVENTS ROWS, a folder with files of JSON lines, and one."""
import collections, datetime, decimal, json, sys

query, events, rows_file = sys.argv[1:]


def read(kind):
    return [json.loads(line) for line in open(f"{events}/{kind}.jsonl")]


bids = read("bid") if query not in ("q3", "q8") else []


def windows(time, size, slide):
    start = time - time % slide
    return range(start, time - size, -slide)


def ms(text):
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000 + 0.5) if isinstance(text, str) else text


wanted = collections.Counter()
if query == "q0":
    wanted.update((b["auction"], b["bidder"], b["price"], b["date_time"], b["extra"]) for b in bids)
    columns = ["auction", "bidder", "price", "date_time", "extra"]
elif query == "q1":
    euros = decimal.Decimal("0.908")
    wanted.update((b["auction"], b["bidder"], euros * b["price"], b["date_time"], b["extra"]) for b in bids)
    columns = ["auction", "bidder", "price_eur", "date_time", "extra"]
elif query == "q2":
    wanted.update((b["auction"], b["price"]) for b in bids if b["auction"] % 123 == 0)
    columns = ["auction", "price"]
elif query == "q5":
    counts = collections.defaultdict(collections.Counter)
    for b in bids:
        for start in windows(b["date_time"], 10_000, 2_000):
            counts[start][b["auction"]] += 1
    for start, of in counts.items():
        most = max(of.values())
        wanted.update((a, n, start, start + 10_000) for a, n in of.items() if n == most)
    columns = ["auction", "n", "window_start", "window_end"]
elif query == "q7":
    high = collections.defaultdict(list)
    for b in bids:
        high[b["date_time"] // 10_000].append(b)
    for of in high.values():
        most = max(b["price"] for b in of)
        wanted.update(
            (b["auction"], b["price"], b["bidder"], b["date_time"], b["extra"]) for b in of if b["price"] == most
        )
    columns = ["auction", "price", "bidder", "date_time", "extra"]
elif query == "q11":
    times = collections.defaultdict(list)
    for b in bids:
        times[b["bidder"]].append(b["date_time"])
    for bidder, of in times.items():
        of.sort()
        first, last, n = of[0], of[0], 0
        for at in of + [None]:
            if at is None or at - last > 10_000:
                wanted[bidder, n, first, last + 10_000] += 1
                first, n = at, 0
            last, n = at, n + 1
    columns = ["bidder", "bids", "window_start", "window_end"]
elif query == "q3":
    states = {"OR", "ID", "CA"}
    persons = {p["id"]: p for p in read("person") if p["state"] in states}
    for a in read("auction"):
        p = persons.get(a["seller"])
        if p and a["category"] == 10:
            wanted[p["name"], p["city"], p["state"], a["id"]] += 1
    columns = ["name", "city", "state", "id"]
elif query == "q4":
    auctions = {a["id"]: a for a in read("auction")}
    final = {}
    for b in bids:
        a = auctions.get(b["auction"])
        if a and a["date_time"] <= b["date_time"] <= a["expires"]:
            final[a["id"]] = max(final.get(a["id"], 0), b["price"])
    of = collections.defaultdict(list)
    for auction, price in final.items():
        of[auctions[auction]["category"]].append(price)
    wanted.update((category, sum(prices) // len(prices)) for category, prices in of.items())
    columns = ["category", "mean"]
elif query == "q8":
    sellers = {(a["seller"], a["date_time"] // 10_000) for a in read("auction")}
    for p in read("person"):
        window = p["date_time"] // 10_000
        if (p["id"], window) in sellers:
            wanted[p["id"], p["name"], window * 10_000] = 1
    columns = ["id", "name", "window_start"]
else:
    sys.exit(f"no recount of {query}")

times = {"date_time", "window_start", "window_end"}
found = collections.Counter()
rows = [json.loads(line, parse_float=decimal.Decimal) for line in open(rows_file)]
if query == "q4":
    # Each row takes the place of the one before.
    rows = {row["category"]: row for row in rows}.values()
for row in rows:
    found[tuple(ms(row[c]) if c in times else row[c] for c in columns)] += 1
if found != wanted:
    for name, more in [("missing", wanted - found), ("not wanted", found - wanted)]:
        for row, n in list(more.items())[:5]:
            print(f"{name}: {row} x {n}")
    sys.exit(f"FAIL: {query}: {sum(found.values())} rows, {sum(wanted.values())} wanted")
print(f"{query}: {sum(found.values())} rows as recounted")

#!/usr/bin/env python3
"""Counts the invoices of a folder again, from the files alone and by other code than the product's.

    recount.py DIR [--windows FILE] [--expect DIR/expected.json]

Reads DIR/stores.csv and DIR/stores/*/inbox/*.jsonl (or the files given with --files) and prints, as JSON: lines,
unique, repeats, rejected by reason, revenue of the unique invoices. --windows writes that revenue for each store and
5-minute window of event time as CSV: store_id,window_start_ms,invoices,revenue. --expect compares with a file of
such counts and ends with 1 where they differ.

Written from the description of the invoice in the example's README, with Python's standard library. Nothing here is
shared with the Rust code, so that a mistake made there is not made again here.
"""
import argparse
import csv
import datetime
import decimal
import glob
import hashlib
import json
import os
import re
import sys

WINDOW_MS = 5 * 60 * 1000
REPEAT_MS = 48 * 3600 * 1000
REASONS = ("malformed_json", "missing_store", "negative_qty", "bad_total", "conflicting_repeat")
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d)(?::?(\d\d))?)", re.ASCII
)
EPOCH = datetime.datetime(1970, 1, 1)


class Malformed(Exception):
    """The line is no invoice."""


def once(pairs):
    """An object, in which no name comes twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed
    return found


def refuse(_):
    raise Malformed


def text(holder, name, optional=False):
    value = holder.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, str):
        raise Malformed
    return value


def integer(holder, name):
    value = holder.get(name)
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise Malformed
    return value


def cents(holder, name):
    """An amount in hundredths; the JSON reader keeps the digits, so 88.505 is seen as what it is."""
    value = holder.get(name)
    if type(value) is int:
        return value * 100
    if not isinstance(value, decimal.Decimal) or value.as_tuple().exponent not in (-1, -2):
        raise Malformed
    return int(value.scaleb(2))


def time_ms(holder):
    value = holder.get("issued_at")
    if type(value) is int:
        return value
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise Malformed
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise Malformed from None
    offset = 0
    if match.group(8):
        offset = int(match.group(9)) * 60 + int(match.group(10) or 0)
        offset = -offset if match.group(8) == "-" else offset
    delta = moment - EPOCH - datetime.timedelta(minutes=offset)
    fraction = int(((match.group(7) or "") + "000")[:3])
    return (delta.days * 86400 + delta.seconds) * 1000 + fraction


def number(digits):
    """Digits with a point, but no exponent."""
    if "e" in digits or "E" in digits:
        return None
    return decimal.Decimal(digits)


DECODER = json.JSONDecoder(object_pairs_hook=once, parse_float=number, parse_constant=refuse)


def read(line):
    """The invoice of a line, as a tuple of its fields."""
    try:
        invoice = DECODER.decode(line.decode("utf-8").strip(" \t\r\n"))
    except (ValueError, RecursionError):
        raise Malformed from None
    if not isinstance(invoice, dict) or not isinstance(invoice.get("lines"), list):
        raise Malformed
    lines = []
    for one in invoice["lines"]:
        if not isinstance(one, dict):
            raise Malformed
        lines.append(
            (
                text(one, "sku"),
                text(one, "name", optional=True),
                integer(one, "qty"),
                cents(one, "unit_price"),
                cents(one, "discount"),
                cents(one, "tax"),
            )
        )
    return (
        text(invoice, "store_id"),
        text(invoice, "invoice_id"),
        time_ms(invoice),
        cents(invoice, "total"),
        integer(invoice, "counter_id"),
        text(invoice, "currency"),
        text(invoice, "customer_id", optional=True),
        text(invoice, "payment_method"),
        tuple(lines),
    )


def verdict(invoice, stores):
    """The first reason that refuses an invoice, or None."""
    store, lines, total = invoice[0], invoice[8], invoice[3]
    if store not in stores:
        return "missing_store"
    if not lines or any(quantity <= 0 for _, _, quantity, _, _, _ in lines):
        return "negative_qty"
    if total != sum(quantity * price - discount + tax for _, _, quantity, price, discount, tax in lines):
        return "bad_total"
    return None


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("dir")
    arguments.add_argument("--stores", help="the store table, if it is not DIR/stores.csv")
    arguments.add_argument("--files", nargs="+", help="the files, if they are not DIR/stores/*/inbox/*.jsonl")
    arguments.add_argument("--windows", help="write the revenue of each store and window here")
    arguments.add_argument("--expect", help="compare with the counts in this file")
    arguments = arguments.parse_args()

    with open(arguments.stores or os.path.join(arguments.dir, "stores.csv"), newline="", encoding="utf-8") as table:
        stores = {row["store_id"] for row in csv.DictReader(table)} - {""}
    files = arguments.files or sorted(glob.glob(os.path.join(arguments.dir, "stores", "*", "inbox", "*.jsonl")))

    count = {"lines": 0, "bytes": 0, "unique": 0, "repeats": 0}
    rejected = dict.fromkeys(REASONS, 0)
    revenue = 0
    seen = {}
    windows = {}
    for path in files:
        with open(path, "rb") as lines:
            for line in lines:
                count["lines"] += 1
                count["bytes"] += len(line)
                try:
                    invoice = read(line)
                except Malformed:
                    rejected["malformed_json"] += 1
                    continue
                reason = verdict(invoice, stores)
                if reason:
                    rejected[reason] += 1
                    continue
                store, identifier, issued, total = invoice[:4]
                content = hashlib.blake2b(repr(invoice).encode("utf-8", "surrogatepass"), digest_size=16).digest()
                before = seen.get((store, identifier))
                if before and abs(before[1] - issued) <= REPEAT_MS:
                    if before[0] == content:
                        count["repeats"] += 1
                    else:
                        rejected["conflicting_repeat"] += 1
                    continue
                seen[store, identifier] = (content, issued)
                count["unique"] += 1
                revenue += total
                window = windows.setdefault((store, issued // WINDOW_MS * WINDOW_MS), [0, 0])
                window[0] += 1
                window[1] += total

    def amount(hundredths):
        sign = "-" if hundredths < 0 else ""
        return f"{sign}{abs(hundredths) // 100}.{abs(hundredths) % 100:02}"

    if arguments.windows:
        with open(arguments.windows, "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(("store_id", "window_start_ms", "invoices", "revenue"))
            for (store, start), (invoices, hundredths) in sorted(windows.items()):
                writer.writerow((store, start, invoices, amount(hundredths)))

    result = {**count, "rejected": rejected, "revenue": amount(revenue)}
    print(json.dumps(result, indent=2))
    if count["lines"] != count["unique"] + count["repeats"] + sum(rejected.values()):
        sys.exit("recount: the lines are not unique + repeats + rejected")
    if arguments.expect:
        with open(arguments.expect, encoding="utf-8") as expected:
            expected = json.load(expected)
        wrong = [name for name in result if result[name] != expected.get(name)]
        for name in wrong:
            print(f"recount: {name}: counted {result[name]}, expected {expected.get(name)}", file=sys.stderr)
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

//! The events of the Nexmark benchmark as JSON lines: `nexmark_events KIND N RATE`, with KIND `person`, `auction` or `bid`, N
//! events of all kinds (1 : 3 : 46 of them persons, auctions and bids) at RATE a second of event time. Event `n` is a pure
//! function of its number, in integers and ASCII, so that every machine and every implementation of the formula writes the
//! same bytes. Never enters: what a query makes of them (`tests/nexmark/recount.py`).

use std::fmt::Write as _;
use std::io::Write as _;

/// The first event's time, on a bound of every window: milliseconds since 1970.
const BASE_MS: u64 = 1_700_000_000_000;
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const FIRST: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `k`-th chance of event `n`.
fn chance(n: u64, k: u64) -> u64 {
    mix(n.wrapping_mul(16).wrapping_add(k))
}

/// Hexadecimal digits that fill a record up.
fn pad(out: &mut String, n: u64, k: u64, len: u32) {
    let mut z = chance(n, k);
    for i in 0..len {
        if i % 16 == 0 && i > 0 {
            z = mix(z);
        }
        out.push(char::from(b"0123456789abcdef"[(z >> ((i % 16) * 4)) as usize & 15]));
    }
}

fn price(decade: u64, within: u64) -> u64 {
    let power = 10u64.pow((decade % 6) as u32);
    100 * power + within % (900 * power)
}

fn cold_person(last: u64, chance: u64) -> u64 {
    last - chance % (last + 1).min(1_000)
}

/// Event `n`, if it is of this kind.
fn event(kind: &str, n: u64, rate: u64, out: &mut String) {
    let (epoch, place) = (n / 50, n % 50);
    let time = BASE_MS + n * 1_000 / rate;
    let r = |k| chance(n, k);
    let _ = match (kind, place) {
        ("person", 0) => {
            let (first, last) = (FIRST[(r(0) % 11) as usize], LAST[(r(1) % 9) as usize]);
            let _ = write!(out, r#"{{"id":{},"name":"{first} {last}","email":""#, 1_000 + epoch);
            pad(out, n, 2, 8);
            out.push_str(r#"@x.com","credit_card":""#);
            pad(out, n, 3, 16);
            let (city, state) = (CITIES[(r(4) % 10) as usize], STATES[(r(5) % 6) as usize]);
            let _ = write!(out, r#"","city":"{city}","state":"{state}","date_time":{time},"extra":""#);
            pad(out, n, 6, 40);
            writeln!(out, r#""}}"#)
        }
        ("auction", 1..=3) => {
            let seller = if r(0) % 4 > 0 { epoch / 100 * 100 } else { cold_person(epoch, r(1)) };
            let initial = price(r(2), r(3));
            let _ = write!(out, r#"{{"id":{},"item_name":""#, 1_000 + 3 * epoch + place - 1);
            pad(out, n, 4, 20);
            out.push_str(r#"","description":""#);
            pad(out, n, 5, 100);
            let expires = time + 1 + r(8) % (2 * 100 * 50 * 1_000 / (3 * rate)).max(1);
            let _ = write!(
                out,
                r#"","initial_bid":{initial},"reserve":{},"date_time":{time},"expires":{expires},"seller":{},"category":{},"extra":""#,
                initial + price(r(6), r(7)),
                1_000 + seller,
                10 + r(9) % 5
            );
            pad(out, n, 10, 200);
            writeln!(out, r#""}}"#)
        }
        ("bid", 4..) => {
            let newest = 3 * epoch + 2;
            let auction =
                if r(0) % 2 > 0 { newest / 100 * 100 } else { newest - r(1) % (newest + 1).min(100) };
            let bidder =
                if r(2) % 4 > 0 { (epoch / 100 * 100 + 1).min(epoch) } else { cold_person(epoch, r(3)) };
            let _ = write!(
                out,
                r#"{{"auction":{},"bidder":{},"price":{},"channel":""#,
                1_000 + auction,
                1_000 + bidder,
                price(r(4), r(5))
            );
            let _ = match r(6) % 2 {
                0 => write!(out, "channel-{}", r(7) % 10_000),
                _ => write!(out, "{}", CHANNELS[(r(7) % 4) as usize]),
            };
            let _ = write!(
                out,
                r#"","url":"https://www.nexmark.com/item.htm?query=1&channel_id={}","date_time":{time},"extra":""#,
                r(8) % 10_000
            );
            pad(out, n, 9, 20);
            writeln!(out, r#""}}"#)
        }
        _ => Ok(()),
    };
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (kind, n, rate) = (arguments.next(), arguments.next(), arguments.next());
    let number = |text: Option<String>| text.and_then(|t| t.parse::<u64>().ok()).filter(|n| *n > 0);
    let (Some(kind), Some(n), Some(rate)) = (kind, number(n), number(rate)) else {
        eprintln!("usage: nexmark_events person|auction|bid EVENTS EVENTS_PER_SECOND");
        std::process::exit(2);
    };
    let mut out = std::io::stdout().lock();
    let mut text = String::with_capacity(1 << 20);
    for event_number in 0..n {
        event(&kind, event_number, rate, &mut text);
        if text.len() > (1 << 20) - 1_024 {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    out.write_all(text.as_bytes())
}

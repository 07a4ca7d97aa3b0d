//! What a scalar may say: integers, booleans, durations, sizes, rates, instants. One spelling of each, exact,
//! and an error text that says how to write it.
//!
//! Never enters: spans and diagnostics (`shape.rs` puts them on). Invariant SP-3: no value is rounded, wrapped or
//! guessed; what does not fit its type is refused.

use crate::node::Scalar;

/// What a scalar is where no field says what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// `true` or `false`.
    Bool(bool),
    /// Digits with an optional minus, no leading zeros, within 64 bits.
    Int(i64),
    /// A decimal number; its text is kept as it is, since money must stay exact.
    Number,
    /// Everything else.
    Text,
}

/// Reads a scalar without knowing what is wanted. Quoted ones are text.
pub fn plain(scalar: &Scalar) -> Plain {
    if !scalar.is_typed_by_text() {
        return Plain::Text;
    }
    let text = scalar.expose();
    match text {
        "true" => return Plain::Bool(true),
        "false" => return Plain::Bool(false),
        _ => {}
    }
    if let Ok(value) = integer(text) {
        return Plain::Int(value);
    }
    if is_number(text) { Plain::Number } else { Plain::Text }
}

/// Whether a text is a decimal number in JSON's spelling.
pub fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

/// An integer: digits, an optional minus, no underscores, no leading zeros.
pub fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.contains('_') {
        return Err(format!("integers are written without underscores: {}", text.replace('_', "")));
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("an integer is digits with an optional minus, as 600".to_owned());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("an integer has no leading zeros".to_owned());
    }
    text.parse().map_err(|_| "an integer is within 64 bits".to_owned())
}

/// A number and its unit, split where the digits end.
fn with_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 || (end > 1 && text.starts_with('0')) {
        return None;
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// A duration in milliseconds: `200ms`, `5s`, `10m`, `48h`, `30d`. Whole numbers, one unit.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    const HOW: &str =
        "a duration is a whole number and one unit of ms, s, m, h, d, as 200ms, 5s, 10m, 48h or 30d";
    let (number, unit) = with_unit(text).ok_or(HOW)?;
    let factor: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(HOW.to_owned()),
    };
    // Kafka's own times are signed 64-bit milliseconds.
    number
        .checked_mul(factor)
        .filter(|ms| *ms <= i64::MAX as u64)
        .ok_or_else(|| "a duration is below 2^63 milliseconds".to_owned())
}

/// A duration in its shortest exact spelling.
pub fn format_duration(ms: u64) -> String {
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms != 0 && ms.is_multiple_of(factor) {
            return format!("{}{unit}", ms / factor);
        }
    }
    format!("{ms}ms")
}

/// A size in bytes: `512B`, `64KiB`, `128MiB`, `1GiB`, `1TiB`, and `kB MB GB TB` by thousands.
pub fn size_bytes(text: &str) -> Result<u64, String> {
    const HOW: &str = "a size is a whole number and a unit of B, KiB, MiB, GiB, TiB or (by thousands) kB, MB, GB, TB, as 128MiB";
    let (number, unit) = with_unit(text).ok_or(HOW)?;
    let factor: u64 = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(HOW.to_owned()),
    };
    number
        .checked_mul(factor)
        .filter(|bytes| *bytes <= i64::MAX as u64)
        .ok_or_else(|| "a size is below 2^63 bytes".to_owned())
}

/// A size in its shortest exact spelling.
pub fn format_size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// The fewest and the most thousandths of a core that a pipeline may be given. What it does while it takes nothing in needs some.
const MILLICORES: std::ops::RangeInclusive<u64> = 50..=1_024_000;

/// A number of cores, in thousandths: `2`, `1.5`, `0.25`.
pub fn millicores(text: &str) -> Result<u64, String> {
    const HOW: &str = "a number of cores is 0.05 to 1024 with at most three decimals, as 2, 1.5 or 0.25";
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole)
        || !digits(decimals)
        || decimals.len() > 3
        || (whole.len() > 1 && whole.starts_with('0'))
    {
        return Err(HOW.to_owned());
    }
    let thousandths = format!("{whole}{decimals:0<3}").parse().map_err(|_| HOW)?;
    if MILLICORES.contains(&thousandths) { Ok(thousandths) } else { Err(HOW.to_owned()) }
}

/// A share of the records within a time, as `5%/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Hundredths of a percent, 0 to 10,000: `5%` is 500, `0.25%` is 25.
    pub basis_points: u32,
    /// The time over which it is measured, in milliseconds; at least one second.
    pub per_ms: u64,
}

/// A rate: `5%/1m`, with at most two places in the percentage.
pub fn rate(text: &str) -> Result<Rate, String> {
    const HOW: &str = "a rate is a percentage and a time, as 5%/1m or 0.25%/10s";
    let (percent, time) = text.split_once("%/").ok_or(HOW)?;
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || fraction.len() > 2 || !digits(whole) || !digits(fraction) {
        return Err(HOW.to_owned());
    }
    if percent.contains('.') && fraction.is_empty() {
        return Err(HOW.to_owned());
    }
    let whole: u32 = whole.parse().map_err(|_| HOW)?;
    let fraction: u32 = format!("{fraction:0<2}").parse().map_err(|_| HOW)?;
    let basis_points = whole * 100 + fraction;
    if basis_points > 10_000 {
        return Err("a rate is at most 100%".to_owned());
    }
    let per_ms = duration_ms(time)?;
    if per_ms < 1_000 {
        return Err("a rate is measured over at least 1s".to_owned());
    }
    Ok(Rate { basis_points, per_ms })
}

/// An instant in milliseconds since 1970: ISO 8601 with `Z` or an offset, as `2026-01-01T10:30:00Z`.
pub fn timestamp_ms(text: &str) -> Result<i64, String> {
    const HOW: &str = "an instant is ISO 8601 with Z or an offset, as 2026-01-01T10:30:00Z or 2026-01-01T16:00:00.250+05:30";
    parse_timestamp(text).ok_or_else(|| HOW.to_owned())
}

fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let at = |i: usize, wanted: &[u8]| bytes.get(i).is_some_and(|b| wanted.contains(b));
    if !(at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
        if end == 0 || end > 3 {
            return None;
        }
        millis = format!("{:0<3}", &fraction[..end]).parse().ok()?;
        rest = &fraction[end..];
    }
    let offset_minutes = match rest.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] if [a, b, c, d].iter().all(|x| x.is_ascii_digit()) => {
            let digit = |b: &u8| i64::from(b - b'0');
            let (hours, minutes) = (digit(a) * 10 + digit(b), digit(c) * 10 + digit(d));
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > days_of_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970-01-01 of a civil date, by the shifted-year method (Hinnant, "chrono-compatible date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second) * 1_000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_rates() {
        for (text, wanted) in [
            ("200ms", Some(200)),
            ("5s", Some(5_000)),
            ("10m", Some(600_000)),
            ("48h", Some(172_800_000)),
            ("30d", Some(2_592_000_000)),
            ("0s", Some(0)),
            ("1.5s", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("05s", None),
            ("1h30m", None),
            ("5 s", None),
            ("99999999999999d", None),
            ("99999999999999999999ms", None),
        ] {
            assert_eq!(duration_ms(text).ok(), wanted, "{text}");
        }
        for ms in [0, 1, 1_000, 90_000, 172_800_000, 2_592_000_000] {
            assert_eq!(duration_ms(&format_duration(ms)), Ok(ms));
        }
        for (text, wanted) in [
            ("64MiB", Some(67_108_864)),
            ("128MB", Some(128_000_000)),
            ("0B", Some(0)),
            ("1TiB", Some(1 << 40)),
            ("64mb", None),
            ("64", None),
            ("9999999999TiB", None),
        ] {
            assert_eq!(size_bytes(text).ok(), wanted, "{text}");
        }
        for (text, wanted) in [
            ("2", Some(2_000)),
            ("1.5", Some(1_500)),
            ("0.05", Some(50)),
            ("0.125", Some(125)),
            ("1024", Some(1_024_000)),
            ("1024.001", None),
            ("0.049", None),
            ("0", None),
            ("0.0625", None),
            ("-1", None),
            ("01", None),
            (".5", None),
            ("1.", None),
            ("1e3", None),
            ("500m", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millicores(text).ok(), wanted, "{text}");
        }
        assert_eq!(rate("5%/1m"), Ok(Rate { basis_points: 500, per_ms: 60_000 }));
        assert_eq!(rate("0.25%/10s"), Ok(Rate { basis_points: 25, per_ms: 10_000 }));
        for bad in ["5/1m", "101%/1m", "5%/1", "5%/10ms", "5.%/1m", "5.123%/1m", "%/1m", "-5%/1m"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn integers_and_numbers() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("50000000", Some(50_000_000)),
            ("50_000_000", None),
            ("007", None),
            ("0x1f", None),
            ("", None),
            ("-", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(integer(text).ok(), wanted, "{text}");
        }
        for (text, wanted) in [
            ("1.5", true),
            ("-0.50", true),
            ("1e9", true),
            ("1.", false),
            (".5", false),
            ("01.5", false),
            ("1e", false),
        ] {
            assert_eq!(is_number(text), wanted, "{text}");
        }
    }

    #[test]
    fn instants() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-01T10:30:00Z", Some(1_767_263_400_000)),
            ("2026-01-01T16:00:00.250+05:30", Some(1_767_263_400_250)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("1969-12-31T23:59:59.9Z", Some(-100)),
            ("2025-02-29T00:00:00Z", None),
            ("2026-01-01", None),
            ("2026-01-01T10:30:00", None),
            ("2026-13-01T10:30:00Z", None),
            ("2026-01-01T24:30:00Z", None),
            ("2026-01-01T10:30:00.1234Z", None),
            ("2026-01-01T10:30:00+25:00", None),
            ("é026-01-01T10:30:00Z", None),
        ] {
            assert_eq!(timestamp_ms(text).ok(), wanted, "{text}");
        }
    }
}

//! Leaves: numbers, decimals, instants, dates and escaped strings from their text. Used by both of JSON's paths, so that
//! they cannot disagree, and by other formats where their values are text. Input is the text of one token; output is the
//! value or nothing.

use base64::Engine as _;
use millstream_model::time;

/// A 64-bit integer from JSON number text: no fraction, no exponent.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    // Counted downwards, since the smallest number has no positive twin.
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// An exact decimal from JSON number text, as an integer of `10^-scale`. Nothing if it has more digits than
/// `precision`, or digits other than zero beyond the scale.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => {
            let digits = &rest[at + 1..];
            let digits = digits.strip_prefix(b"+").unwrap_or(digits);
            // An exponent that no i64 holds belongs to zero or to a number far out of range; both are decided below
            // by a clamped one.
            let clamp = if digits.starts_with(b"-") { i64::from(i32::MIN) } else { i64::from(i32::MAX) };
            let exponent = integer(digits).unwrap_or(clamp).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            (&rest[..at], exponent)
        }
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    // The value is the digits of both, times ten to `shift`, in units of the scale.
    let mut shift = exponent + i64::from(scale) - fraction.len() as i64;
    let mut value: i128 = 0;
    let digits = whole.len() + fraction.len();
    let significant = {
        let zeros = whole.iter().chain(fraction).rev().take_while(|b| **b == b'0').count();
        shift += zeros as i64;
        digits - zeros
    };
    for byte in whole.iter().chain(fraction).take(significant) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    if value == 0 {
        return Some(0);
    }
    if shift < 0 {
        return None;
    }
    let value = value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    if value >= 10i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// Whether text is a number by JSON's grammar.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return false;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return false;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = if at <= text.len() { digits(at) } else { 0 };
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

/// A finite double from JSON number text, rounded correctly.
pub(crate) fn double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Milliseconds since 1970-01-01 UTC from ISO 8601 text with an offset: `2026-03-02T10:15:30.250+05:30`. One to nine
/// digits of a second's fraction; those below the millisecond are cut off.
#[inline]
pub(crate) fn instant(text: &[u8]) -> Option<i64> {
    let (seconds, nanos) = seconds_and_nanos(text)?;
    Some(seconds * 1_000 + nanos / 1_000_000).filter(|at| time::in_range(*at))
}

/// The same in microseconds.
pub(crate) fn instant_micros(text: &[u8]) -> Option<i64> {
    let (seconds, nanos) = seconds_and_nanos(text)?;
    Some(seconds * 1_000_000 + nanos / 1_000).filter(|at| micros_in_range(*at))
}

/// Whether a record may carry this instant, in microseconds since 1970.
pub(crate) fn micros_in_range(micros: i64) -> bool {
    time::in_range(micros.div_euclid(1_000))
}

/// Days since 1970-01-01 from a date as `2026-03-02`, of the years 1 to 9999.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 {
        return None;
    }
    day_of(text).map(|day| day as i32).filter(|day| date_in_range(*day))
}

/// Whether a day, as days since 1970, is within the years 1 to 9999.
pub(crate) fn date_in_range(day: i32) -> bool {
    time::in_range(i64::from(day) * 86_400_000)
}

/// Two digits of a text.
#[inline(always)]
fn two(text: &[u8], at: usize) -> Option<i64> {
    let (high, low) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    if high > 9 || low > 9 { None } else { Some(i64::from(high * 10 + low)) }
}

/// The day that the first ten bytes name.
#[inline(always)]
fn day_of(text: &[u8]) -> Option<i64> {
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=days).contains(&day).then(|| days_from_civil(year, month, day))
}

/// Seconds since 1970 and nanoseconds behind them.
#[inline(always)]
fn seconds_and_nanos(text: &[u8]) -> Option<(i64, i64)> {
    if text.len() < 20 {
        return None;
    }
    let two = |at: usize| two(text, at);
    if text[13] != b':' || text[16] != b':' || !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let day = day_of(text)?;
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if text[at] == b'.' {
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        for place in 0..9 {
            let digit = if place < digits { i64::from(text[at + 1 + place] - b'0') } else { 0 };
            nanos = nanos * 10 + digit;
        }
        at += 1 + digits;
    }
    let offset_minutes = match &text[at..] {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (two(at + 1)?, two(at + 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let east = hours * 60 + minutes;
            if *sign == b'+' { east } else { -east }
        }
        _ => return None,
    };
    let seconds = day * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset_minutes * 60, nanos))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The bytes that base64 text stands for, of the standard alphabet, padded.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// Appends the text that an escaped JSON string stands for. `body` is what lies between the quotes, already known to
/// be UTF-8 without raw control characters. Nothing (with a part possibly appended) if an escape is not one, or half a
/// surrogate pair stands alone.
pub(crate) fn unescape(body: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = body;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        let plain = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = hex4(rest)?;
                rest = &rest[4..];
                let code = match first {
                    0xd800..=0xdbff => {
                        let second = hex4(rest.strip_prefix(b"\\u")?)?;
                        if !(0xdc00..=0xdfff).contains(&second) {
                            return None;
                        }
                        rest = &rest[6..];
                        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => first,
                };
                let mut utf8 = [0; 4];
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The value of the first four bytes as hexadecimal digits.
pub(crate) fn hex4(text: &[u8]) -> Option<u32> {
    let mut value = 0;
    for byte in text.get(..4)? {
        value = value * 16 + char::from(*byte).to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for (text, want) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1.0", None),
            ("1e2", None),
            ("-", None),
        ] {
            assert_eq!(integer(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        for (text, want) in [
            ("88.5", Some(8_850)),
            ("88.50", Some(8_850)),
            ("88.5000", Some(8_850)),
            ("-0.01", Some(-1)),
            ("1.005", None),
            ("8.85e1", Some(8_850)),
            ("885E-1", Some(8_850)),
            ("1e-2", Some(1)),
            ("1e-3", None),
            ("0e999999999999999999999", Some(0)),
            ("1e999999999999999999999", None),
            ("1e-999999999999999999999", None),
            ("9999999999999999.99", Some(999_999_999_999_999_999)),
            ("10000000000000000", None),
            ("123456789012345.67", Some(12_345_678_901_234_567)),
        ] {
            assert_eq!(decimal(text.as_bytes(), 18, 2), want, "{text}");
        }
    }

    #[test]
    fn instants() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-03-02T10:15:30.250Z", Some(1_772_446_530_250)),
            ("2026-03-02T15:45:30.25+05:30", Some(1_772_446_530_250)),
            ("2026-03-02T15:45:30.250999999+05:30", Some(1_772_446_530_250)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-03-02T10:15:30", None),
            ("2026-03-02T10:15:30.Z", None),
            ("2026-03-02T24:00:00Z", None),
            ("2026-13-02T10:00:00Z", None),
            ("0001-01-01T00:00:00+00:01", None),
            ("9999-12-31T23:59:59.999Z", Some(time::EVENT_TIME_MAX)),
            ("2026-03-02T10:15:30Zx", None),
            ("2026-03-02T10:15:30+0530", None),
        ] {
            assert_eq!(instant(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn dates_and_microseconds() {
        for (text, want) in [
            ("1970-01-01", Some(0)),
            ("2026-03-01", Some(20_513)),
            ("2023-02-29", None),
            ("2026-3-01", None),
            ("2026-03-01T", None),
            ("0000-01-01", None),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
        ] {
            assert_eq!(date(text.as_bytes()), want, "{text}");
        }
        assert_eq!(instant_micros(b"2026-03-02T10:15:30.250001999Z"), Some(1_772_446_530_250_001));
        assert_eq!(instant_micros(b"1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(instant_micros(b"0000-12-31T23:59:59Z"), None);
    }

    #[test]
    fn escapes() {
        let text = |body: &str| {
            let mut out = Vec::new();
            unescape(body.as_bytes(), &mut out).map(|()| String::from_utf8(out).expect("utf-8"))
        };
        assert_eq!(
            text(r#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"#).as_deref(),
            Some("a\"\\/\u{8}\u{c}\n\r\té😀z")
        );
        for bad in [r"\ud83d", r"\ude00", r"\ud83d\u0041", r"\x", r"\u00g0", r"\u00", r"\"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }
}

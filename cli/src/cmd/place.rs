//! Places in a log as a person writes them: `beginning`, `end`, an offset, a time; and times as they are printed.
//! Never enters: asking a broker where they are.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: i64 = 86_400_000;

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the first record.
    Beginning,
    /// Behind the last record.
    End,
    /// At an offset.
    Offset(i64),
    /// At the first record of this time or later, in milliseconds since 1970.
    Time(i64),
}

/// Reads `beginning`, `end`, an offset, or a time (see [`time`]).
pub fn place(text: &str) -> Result<Place, String> {
    match text {
        "beginning" => Ok(Place::Beginning),
        "end" => Ok(Place::End),
        _ => match text.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Place::Offset(offset)),
            Ok(_) => Err("offsets start at 0".to_owned()),
            Err(_) => time(text).map(Place::Time).map_err(|_| {
                "use beginning, end, an offset, a time as 2026-11-21T10:00:00Z, or an age as 15m-ago"
                    .to_owned()
            }),
        },
    }
}

/// Reads a time as milliseconds since 1970: `2026-11-21`, `2026-11-21T10:00:00.250+05:30` (UTC where no zone is given), or
/// an age, `90s-ago`, `15m-ago`, `2h-ago`, `7d-ago`.
pub fn time(text: &str) -> Result<i64, String> {
    let found = match text.strip_suffix("-ago") {
        Some(age) => age_ms(age).map(|age| now_ms() - age),
        None => date_time(text),
    };
    found.ok_or_else(|| {
        "use a time as 2026-11-21T10:00:00Z, or an age as 90s-ago, 15m-ago, 2h-ago, 7d-ago".to_owned()
    })
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn age_ms(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let number: i64 = digits(text.strip_suffix(unit)?)?;
    let unit_ms = match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => DAY_MS,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// A number without a sign, of at most nine digits.
fn digits(text: &str) -> Option<i64> {
    let fine = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| text.parse().ok()).flatten()
}

fn date_time(text: &str) -> Option<i64> {
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut parts = date.split('-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let days = days(year, month, day);
    if parts.next().is_some() || !(1970..=9999).contains(&year) || civil(days) != (year, month, day) {
        return None;
    }
    Some(days * DAY_MS + clock.map_or(Some(0), clock_ms)?)
}

/// The time of day in UTC, in milliseconds; a zone may carry it into the next day or the one before.
fn clock_ms(text: &str) -> Option<i64> {
    let (text, zone_ms) = match text.strip_suffix('Z') {
        Some(text) => (text, 0),
        None => match text.rfind(['+', '-']) {
            Some(at) => {
                let (hours, minutes) = text[at + 1..].split_once(':')?;
                let ms = (digits(hours)? * 60 + digits(minutes)?) * 60_000;
                (&text[..at], if text[at..].starts_with('-') { -ms } else { ms })
            }
            None => (text, 0),
        },
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let mut parts = whole.split(':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    digits(fraction)?;
    Some(((hour * 60 + minute) * 60 + second) * 1000 + digits(&millis)? - zone_ms)
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01 (his `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A time in UTC, `2026-11-21T10:00:00.250Z`; `-` for a record without one.
pub fn show_time(ms: i64) -> String {
    if ms < 0 {
        return "-".to_owned();
    }
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, millis) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases: &[(&str, Option<i64>)] = &[
            ("1970-01-01", Some(0)),
            ("2026-03-02T10:15:30.250Z", Some(1_772_446_530_250)),
            ("2026-03-02 10:15:30.25", Some(1_772_446_530_250)),
            ("2026-03-02T15:45:30.250+05:30", Some(1_772_446_530_250)),
            ("2026-03-02T10:15Z", Some(1_772_446_500_000)),
            ("2024-02-29", Some(1_709_164_800_000)),
            ("2023-02-29", None),
            ("2026-13-01", None),
            ("2026-03-02T24:00:00Z", None),
            ("2026-03-02T10:15:30.Z", None),
            ("2026-03-02T10:15:30+5", None),
            ("yesterday", None),
            ("", None),
            ("5w-ago", None),
            ("-5m-ago", None),
            ("-ago", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text).ok(), *expected, "{text}");
        }
        let age = now_ms() - time("2h-ago").expect("an age");
        assert!((7_200_000..7_300_000).contains(&age), "{age}");
        assert_eq!(show_time(1_772_446_530_250), "2026-03-02T10:15:30.250Z");
    }

    #[test]
    fn places_are_words_offsets_and_times() {
        assert_eq!(place("beginning"), Ok(Place::Beginning));
        assert_eq!(place("end"), Ok(Place::End));
        assert_eq!(place("42"), Ok(Place::Offset(42)));
        assert_eq!(place("1970-01-02"), Ok(Place::Time(DAY_MS)));
        assert!(place("-1").is_err() && place("start").is_err());
    }
}

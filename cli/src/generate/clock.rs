//! The simulated day: when lines arrive, and how times are written.

/// 2026-03-02T00:00:00Z, a Monday: when the first line arrives.
pub(super) const START_MS: i64 = 1_772_409_600_000;
/// A store begins a new file each six hours.
pub(super) const PART_MS: i64 = 6 * 3_600_000;
/// Lines arrive at this rate, unless that makes the day shorter than [`SPAN_MS_MIN`].
const LINES_PER_SECOND: u64 = 30;
/// Long enough for the hour-late ones to be late, and for windows to close.
const SPAN_MS_MIN: u64 = 2 * 3_600_000;

/// From the first arrival to the last, in milliseconds.
pub(super) fn span_ms(lines: u64) -> u64 {
    (lines * 1000 / LINES_PER_SECOND).max(SPAN_MS_MIN)
}

/// How a till writes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeStyle {
    /// `"2026-03-02T10:15:30.250Z"`
    Utc,
    /// `"2026-03-02T15:45:30.250+05:30"`
    India,
    /// `1772446530250`
    Epoch,
}

/// Appends a time.
pub(super) fn write_time(ms: i64, style: TimeStyle, out: &mut Vec<u8>) {
    match style {
        TimeStyle::Epoch => super::invoice::write_integer(ms, out),
        TimeStyle::Utc => write_iso(ms, b"Z\"", out),
        TimeStyle::India => write_iso(ms + 330 * 60_000, b"+05:30\"", out),
    }
}

fn write_iso(ms: i64, end: &[u8], out: &mut Vec<u8>) {
    let (year, month, day) = civil(ms.div_euclid(86_400_000));
    let of_day = ms.rem_euclid(86_400_000);
    let mut text = *b"\"0000-00-00T00:00:00.000";
    let mut put = |at: usize, value: i64| {
        text[at] = b'0' + u8::try_from(value / 10 % 10).expect("a digit");
        text[at + 1] = b'0' + u8::try_from(value % 10).expect("a digit");
    };
    put(1, year / 100);
    put(3, year % 100);
    put(6, month);
    put(9, day);
    put(12, of_day / 3_600_000);
    put(15, of_day / 60_000 % 60);
    put(18, of_day / 1000 % 60);
    put(21, of_day % 1000 / 10);
    text[23] = b'0' + u8::try_from(of_day % 10).expect("a digit");
    out.extend_from_slice(&text);
    out.extend_from_slice(end);
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant's `civil_from_days`).
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

/// A file's name: the hour that it begins at.
pub(super) fn part_name(part: u32) -> String {
    let ms = START_MS + i64::from(part) * PART_MS;
    let (year, month, day) = civil(ms.div_euclid(86_400_000));
    format!("{year:04}-{month:02}-{day:02}T{:02}.jsonl", ms.rem_euclid(86_400_000) / 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_three_ways() {
        let text = |ms, style| {
            let mut out = Vec::new();
            write_time(ms, style, &mut out);
            String::from_utf8(out).expect("it is ASCII")
        };
        assert_eq!(text(1_772_446_530_250, TimeStyle::Utc), "\"2026-03-02T10:15:30.250Z\"");
        assert_eq!(text(1_772_446_530_250, TimeStyle::India), "\"2026-03-02T15:45:30.250+05:30\"");
        assert_eq!(text(1_772_446_530_250, TimeStyle::Epoch), "1772446530250");
        assert_eq!(text(START_MS, TimeStyle::Utc), "\"2026-03-02T00:00:00.000Z\"");
        assert_eq!(part_name(5), "2026-03-03T06.jsonl");
    }
}

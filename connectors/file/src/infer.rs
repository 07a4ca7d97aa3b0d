//! The type of a CSV column from its values: the narrowest that holds every one exactly. Whole numbers, exact decimals,
//! truth values, days, times; else text. What looks like a number but is a name (a leading zero, a plus sign) is text.
//! Floats are never inferred: `0.1` is a decimal.

use arrow_schema::{DataType, TimeUnit};

/// What the values of a column have been so far.
#[derive(Clone, Debug, Default)]
pub struct Column {
    values: usize,
    nulls: bool,
    integer: bool,
    decimal: bool,
    boolean: bool,
    date: bool,
    time: bool,
    /// Digits before the point, and after it, at most.
    whole_digits: usize,
    scale: usize,
}

impl Column {
    /// Takes one value in. Empty is null.
    pub fn see(&mut self, value: &str) {
        if value.is_empty() {
            self.nulls = true;
            return;
        }
        let number = number(value);
        let first = self.values == 0;
        let keep = |so_far: bool, now: bool| (first || so_far) && now;
        self.integer = keep(
            self.integer,
            number == Some((number.map_or(0, |n| n.0), 0)) && value.parse::<i64>().is_ok(),
        );
        self.decimal = keep(self.decimal, number.is_some());
        self.boolean = keep(self.boolean, matches!(value, "true" | "false"));
        self.date = keep(self.date, is_date(value));
        self.time = keep(self.time, is_time(value));
        if let Some((whole, fraction)) = number {
            self.whole_digits = self.whole_digits.max(whole);
            self.scale = self.scale.max(fraction);
        }
        self.values += 1;
    }

    /// Whether a value was empty.
    pub fn has_nulls(&self) -> bool {
        self.nulls
    }

    /// The type.
    pub fn data_type(&self) -> DataType {
        let digits = self.whole_digits + self.scale;
        if self.values == 0 {
            DataType::Utf8
        } else if self.boolean {
            DataType::Boolean
        } else if self.integer {
            DataType::Int64
        } else if self.decimal && digits <= 38 {
            DataType::Decimal128(if digits <= 18 { 18 } else { 38 }, self.scale as i8)
        } else if self.date {
            DataType::Date32
        } else if self.time {
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
        } else {
            DataType::Utf8
        }
    }
}

/// Digits before and after the point of a plainly written number.
fn number(value: &str) -> Option<(usize, usize)> {
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && !unsigned.ends_with('.')
        && (whole == "0" || !whole.starts_with('0'));
    plain.then_some((whole.len(), fraction.len()))
}

fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(i, byte)| if i == 4 || i == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
        && ("01"..="12").contains(&&value[5..7])
        && ("01"..="31").contains(&&value[8..10])
}

/// A day, `T` or a space, a time of day, and an offset or `Z`: without an offset it is nobody's time, hence text.
fn is_time(value: &str) -> bool {
    let Some((date, rest)) = value.split_at_checked(10) else { return false };
    let bytes = rest.as_bytes();
    is_date(date)
        && bytes.len() >= 10
        && matches!(bytes[0], b'T' | b' ')
        && (bytes[3], bytes[6]) == (b':', b':')
        && [1, 2, 4, 5, 7, 8].iter().all(|i| bytes[*i].is_ascii_digit())
        && (rest.ends_with('Z') || rest[9..].contains(['+', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_get_the_narrowest_exact_type() {
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        for (values, expected) in [
            (&["1", "-20", "0"][..], DataType::Int64),
            (&["1", "", "2"], DataType::Int64),
            (&["007", "8"], DataType::Utf8),
            (&["+1"], DataType::Utf8),
            (&["1", "2.50", "-0.125"], DataType::Decimal128(18, 3)),
            (&["9223372036854775808"], DataType::Decimal128(38, 0)),
            (&["1.", "2"], DataType::Utf8),
            (&["1e5"], DataType::Utf8),
            (&["true", "false"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2026-03-02", "1999-12-31"], DataType::Date32),
            (&["2026-13-02"], DataType::Utf8),
            (&["2026-03-02T10:15:30Z", "2026-03-02 10:15:30.250+05:30"], time),
            (&["2026-03-02T10:15:30"], DataType::Utf8),
            (&["S1", "S2"], DataType::Utf8),
            (&["", ""], DataType::Utf8),
            (&[], DataType::Utf8),
            (&["", "é"], DataType::Utf8),
        ] {
            let mut column = Column::default();
            values.iter().for_each(|value| column.see(value));
            assert_eq!(column.data_type(), expected, "{values:?}");
        }
    }
}

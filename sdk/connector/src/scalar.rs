//! Sizes and durations as pipelines write them: `64MiB`, `128MB`, `200ms`, `10m`. Owns their text form, both ways.
//! Never enters: rates and ranges, which no connector has.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes, written `64MiB` (powers of 1024), `128MB` (powers of 1000) or `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A length of time in milliseconds, written `200ms`, `5s`, `10m`, `48h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub u64);

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
const PERIODS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// The shortest exact form: the greatest unit that divides the value.
fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let (name, scale) = units
        .iter()
        .filter(|(_, scale)| value != 0 && value.is_multiple_of(*scale))
        .max_by_key(|(_, scale)| *scale)
        .unwrap_or(&units[0]);
    write!(f, "{}{name}", value / scale)
}

macro_rules! scalar {
    ($name:ident, $units:ident, $noun:literal, $examples:literal) => {
        impl $name {
            /// Reads the text form; `None` when it is none.
            pub fn parse(text: &str) -> Option<$name> {
                parse(text, &$units).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(f, self.0, &$units)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $noun, " with its unit, such as ", $examples))
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).ok_or_else(|| {
                            E::custom(format_args!(
                                concat!(
                                    "reading \"{}\" as a ",
                                    $noun,
                                    ": write a whole number and a unit, such as ",
                                    $examples
                                ),
                                text
                            ))
                        })
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

scalar!(ByteSize, SIZES, "size", "64MiB or 128MB");
scalar!(Period, PERIODS, "duration", "200ms, 5s, 10m, 48h or 30d");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_come_back_from_their_text() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64MiB", 64 << 20), ("128MB", 128_000_000), ("1TiB", 1 << 40)]
        {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        for (text, ms) in
            [("200ms", 200), ("5s", 5_000), ("10m", 600_000), ("7h", 25_200_000), ("2d", 172_800_000)]
        {
            assert_eq!(Period::parse(text), Some(Period(ms)), "{text}");
            assert_eq!(Period(ms).to_string(), text);
        }
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "1.5h",
            "5S",
            "99999999999999999999s",
            "18446744073709551615d",
            "1_000ms",
        ] {
            assert_eq!(Period::parse(bad), None, "{bad}");
        }
        assert_eq!(ByteSize::parse("1K"), None);
    }
}

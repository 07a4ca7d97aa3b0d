//! Decimals between scales, and the bytes in which formats keep them. Never enters: their text.

/// Ten to the power of the place: all that 128 bits hold.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < 39 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A decimal with `from` digits behind the point as one with `to`; nothing if digits are lost or too many.
pub(crate) fn rescaled(value: i128, from: i64, precision: u8, to: i8) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let shift = i64::from(to).checked_sub(from)?;
    let value = if shift == 0 {
        value
    } else {
        let power = *POWERS.get(usize::try_from(shift.unsigned_abs()).ok()?)?;
        match shift {
            0.. => value.checked_mul(power)?,
            _ if value % power == 0 => value / power,
            _ => return None,
        }
    };
    (value.unsigned_abs() < POWERS.get(usize::from(precision))?.unsigned_abs()).then_some(value)
}

/// The integer that bytes are in two's complement, the highest first.
pub(crate) fn unscaled(bytes: &[u8]) -> Option<i128> {
    if let (1..=8, Some(first)) = (bytes.len(), bytes.first()) {
        let sign = i64::from(*first as i8);
        let value = bytes[1..].iter().fold(sign, |value, byte| value << 8 | i64::from(*byte));
        return Some(i128::from(value));
    }
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let sign = bytes.iter().take(bytes.len().saturating_sub(16)).all(|byte| *byte == fill);
    let mut all = [fill; 16];
    let kept = &bytes[bytes.len().saturating_sub(16)..];
    all[16 - kept.len()..].copy_from_slice(kept);
    let value = i128::from_be_bytes(all);
    (sign && (value < 0) == negative).then_some(value)
}

/// A number in two's complement, the highest byte first, and where its bytes start that are not mere sign.
pub(crate) fn shortest(value: i128) -> ([u8; 16], usize) {
    let bytes = value.to_be_bytes();
    let fill = if value < 0 { 0xff } else { 0 };
    let is_sign = |two: &&[u8]| two[0] == fill && (two[1] ^ fill) < 0x80;
    let from = bytes.windows(2).take_while(is_sign).count();
    (bytes, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_twos_complement() {
        for (bytes, want) in [
            (&[][..], Some(0)),
            (&[0], Some(0)),
            (&[0x80], Some(-128)),
            (&[0, 0x80], Some(128)),
            (&[0xff; 20], Some(-1)),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Some(i128::from(i64::MAX))),
            (&[0x80, 0, 0, 0, 0, 0, 0, 0], Some(i128::from(i64::MIN))),
            (&[0, 0x80, 0, 0, 0, 0, 0, 0, 0], Some(1 << 63)),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(unscaled(bytes), want, "{bytes:x?}");
        }
        for (value, want) in [
            (0, &[0][..]),
            (-1, &[0xff]),
            (127, &[127]),
            (128, &[0, 128]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
        ] {
            let (bytes, from) = shortest(value);
            assert_eq!(&bytes[from..], want, "{value}");
        }
        for value in [i128::MIN, i128::MAX] {
            assert_eq!(shortest(value), (value.to_be_bytes(), 0));
        }
    }

    #[test]
    fn scales_change_where_no_digit_is_lost() {
        let most = 10i128.pow(38) - 1;
        for (value, from, precision, to, want) in [
            (150, 2, 18, 2, Some(150)),
            (150, 2, 18, 1, Some(15)),
            (155, 2, 18, 1, None),
            (15, 1, 18, 4, Some(15_000)),
            (999, 0, 3, 0, Some(999)),
            (1_000, 0, 3, 0, None),
            (-999, 0, 3, 0, Some(-999)),
            (most, 0, 38, 0, Some(most)),
            (most, 0, 38, 1, None),
            (0, 500, 1, 0, Some(0)),
            (5, -2, 18, 0, Some(500)),
            (1, 40, 38, 0, None),
        ] {
            assert_eq!(rescaled(value, from, precision, to), want, "{value} of scale {from}");
        }
    }
}

//! Decimals between scales, and the bytes in which formats keep them. Never enters: their text.

/// A decimal with `from` digits behind the point as one with `to`; nothing if digits are lost or too many.
pub(crate) fn rescaled(value: i128, from: i64, precision: u8, to: i8) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let shift = i64::from(to).checked_sub(from)?;
    let power = 10i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    let value = match shift {
        0.. => value.checked_mul(power)?,
        _ if value % power == 0 => value / power,
        _ => return None,
    };
    (value.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?).then_some(value)
}

/// The integer that bytes are in two's complement, the highest first.
pub(crate) fn unscaled(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let sign = bytes.iter().take(bytes.len().saturating_sub(16)).all(|byte| *byte == fill);
    let mut all = [fill; 16];
    let kept = &bytes[bytes.len().saturating_sub(16)..];
    all[16 - kept.len()..].copy_from_slice(kept);
    let value = i128::from_be_bytes(all);
    (sign && (value < 0) == negative).then_some(value)
}

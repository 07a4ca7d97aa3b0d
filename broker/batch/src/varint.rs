//! Zigzag varints of 32 and 64 bits, and a cursor over bytes that were not checked. Never enters: unsigned varints of
//! messages (`millstream-wire` has its own reader).

use crate::error::RecordError;

/// The bytes that [`put_varint`] writes for `value`.
pub const fn varint_len(value: i32) -> usize {
    let zigzag = ((value << 1) ^ (value >> 31)) as u32;
    if zigzag == 0 { 1 } else { (38 - zigzag.leading_zeros() as usize) / 7 }
}

/// The bytes that [`put_varlong`] writes for `value`.
pub const fn varlong_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    if zigzag == 0 { 1 } else { (70 - zigzag.leading_zeros() as usize) / 7 }
}

/// Appends `value` as a zigzag varint: 1 to 5 bytes.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends `value` as a zigzag varint: 1 to 10 bytes.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A place in bytes that were not checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes }
    }

    pub(crate) const fn empty() -> Cursor<'static> {
        Cursor { bytes: &[] }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.bytes.split_first().ok_or(RecordError::Short)?;
        self.bytes = rest;
        Ok(*first)
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<i32, RecordError> {
        // Most lengths and deltas are one byte or two.
        let value = match *self.bytes {
            [one @ 0..0x80, ref rest @ ..] => {
                self.bytes = rest;
                u32::from(one)
            }
            [low, high @ 0..0x80, ref rest @ ..] => {
                self.bytes = rest;
                u32::from(low & 0x7f) | u32::from(high) << 7
            }
            _ => return self.long_varint(),
        };
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<i32, RecordError> {
        let first = self.u8()?;
        let mut value = u32::from(first & 0x7f);
        let mut byte = first;
        let mut shift = 7;
        while byte & 0x80 != 0 {
            if shift > 28 {
                return Err(RecordError::Varint);
            }
            byte = self.u8()?;
            value |= u32::from(byte & 0x7f).wrapping_shl(shift);
            shift += 7;
        }
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline]
    pub(crate) fn varlong(&mut self) -> Result<i64, RecordError> {
        let first = self.u8()?;
        let mut value = u64::from(first & 0x7f);
        let mut byte = first;
        let mut shift = 7;
        while byte & 0x80 != 0 {
            if shift > 63 {
                return Err(RecordError::Varint);
            }
            byte = self.u8()?;
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            shift += 7;
        }
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(RecordError::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Bytes behind their varint length.
    #[inline]
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], RecordError> {
        let len = usize::try_from(self.varint()?).map_err(|_| RecordError::NegativeLength)?;
        self.take(len)
    }

    /// Bytes behind their varint length, where -1 is null.
    #[inline]
    pub(crate) fn nullable(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        match self.varint()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| RecordError::NegativeLength)?;
                self.take(len).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_have_the_length_said() {
        for shift in 0..32 {
            for value in [0i32, 1 << shift, (1i32 << shift).wrapping_sub(1), (1i32 << shift).wrapping_neg()] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(Cursor::new(&out).varint(), Ok(value));
            }
        }
        for shift in 0..64 {
            for value in [0i64, 1 << shift, (1i64 << shift).wrapping_sub(1), (1i64 << shift).wrapping_neg()] {
                let mut out = Vec::new();
                put_varlong(&mut out, value);
                assert_eq!(out.len(), varlong_len(value), "{value}");
                assert_eq!(Cursor::new(&out).varlong(), Ok(value));
            }
        }
        assert_eq!(Cursor::new(&[0x80; 6]).varint(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&[0x80; 11]).varlong(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&[0x80; 3]).varint(), Err(RecordError::Short));
    }
}

//! JSON by RFC 8259, strictly: a cursor over bytes that checks everything it passes, UTF-8 included, and builds
//! nothing. Never enters: what an invoice is.

/// How deep objects and arrays may lie in one another.
const DEPTH_MAX: u32 = 64;

/// What is wrong, and where.
#[derive(Clone, Copy, Debug)]
pub struct Malformed {
    /// Byte of the record's value, from 0.
    pub at: usize,
    /// What was wanted there.
    pub what: &'static str,
}

/// A string between its quotes, checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

/// A number as it stands: its digits without sign, point and exponent.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Whether it starts with a minus sign.
    pub negative: bool,
    /// The digits before and after the point, up to 18 of them; more than 18 significant ones are `None`.
    pub digits: Option<u64>,
    /// How many of the digits stand after the point.
    pub places: u32,
    /// Whether it has a point or an exponent, so that it is no integer.
    pub fraction: bool,
    /// Whether it has an exponent.
    pub exponent: bool,
}

/// The cursor.
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Scan<T> = Result<T, Malformed>;

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0 }
    }

    #[cold]
    pub fn wrong<T>(&self, what: &'static str) -> Scan<T> {
        Err(Malformed { at: self.at, what })
    }

    /// The next byte after white space, not passed; 0 at the end, which no value starts with.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
        }
    }

    /// Passes this byte, after white space.
    #[inline(always)]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Scan<()> {
        if self.peek() != byte || self.at >= self.bytes.len() {
            return self.wrong(what);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes this byte if it is next.
    #[inline(always)]
    pub fn pass(&mut self, byte: u8) -> bool {
        let next = self.peek() == byte;
        self.at += usize::from(next);
        next
    }

    /// Nothing but white space may be left.
    pub fn end(&mut self) -> Scan<()> {
        self.peek();
        if self.at < self.bytes.len() { self.wrong("more text after the object") } else { Ok(()) }
    }

    /// Passes `null` if it is next.
    pub fn null(&mut self) -> Scan<bool> {
        if self.peek() != b'n' {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    fn literal(&mut self, word: &'static [u8]) -> Scan<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.wrong("not a JSON value");
        }
        self.at += word.len();
        Ok(())
    }

    /// A string.
    #[inline]
    pub fn string(&mut self, what: &'static str) -> Scan<Text<'a>> {
        self.expect(b'"', what)?;
        let start = self.at;
        let mut escaped = false;
        loop {
            // Eight bytes at a time: the high bit of each byte that is a quote, a backslash, a control character or
            // not ASCII. A borrow can mark a byte above a marked one wrongly; only the lowest mark is used.
            while let Some(chunk) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
                let word = u64::from_le_bytes(*chunk);
                let marks = (zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5c)))
                    | (word.wrapping_sub(ONES * 0x20) & !word)
                    | word;
                let marks = marks & (ONES * 0x80);
                if marks != 0 {
                    self.at += marks.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0x20..=0x7f) => self.at += 1,
                Some(0x80..) => self.multi_byte()?,
                Some(_) => return self.wrong("a control character in a string"),
                None => return self.wrong("a string without its end"),
            }
        }
    }

    /// Passes one character of two to four bytes, by the table of RFC 3629 (no surrogates, no overlong forms).
    fn multi_byte(&mut self) -> Scan<()> {
        let rest = &self.bytes[self.at..];
        let tail = |byte: Option<&u8>| matches!(byte, Some(0x80..=0xbf));
        let second = rest.get(1).copied().unwrap_or(0);
        let length = match rest[0] {
            0xc2..=0xdf if (0x80..=0xbf).contains(&second) => 2,
            0xe0 if (0xa0..=0xbf).contains(&second) && tail(rest.get(2)) => 3,
            0xe1..=0xec | 0xee | 0xef if (0x80..=0xbf).contains(&second) && tail(rest.get(2)) => 3,
            0xed if (0x80..=0x9f).contains(&second) && tail(rest.get(2)) => 3,
            0xf0 if (0x90..=0xbf).contains(&second) && tail(rest.get(2)) && tail(rest.get(3)) => 4,
            0xf1..=0xf3 if (0x80..=0xbf).contains(&second) && tail(rest.get(2)) && tail(rest.get(3)) => 4,
            0xf4 if (0x80..=0x8f).contains(&second) && tail(rest.get(2)) && tail(rest.get(3)) => 4,
            _ => return self.wrong("not UTF-8"),
        };
        self.at += length;
        Ok(())
    }

    /// Passes one escape; a `\u` of a surrogate must be the first half of a pair.
    fn escape(&mut self) -> Scan<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit(self.at) {
                Some(0xd800..=0xdbff) => match self.unit(self.at + 6) {
                    Some(0xdc00..=0xdfff) => self.at += 12,
                    _ => return self.wrong("half of a surrogate pair"),
                },
                Some(0xdc00..=0xdfff) => return self.wrong("half of a surrogate pair"),
                Some(_) => self.at += 6,
                None => return self.wrong("an escape that is none"),
            },
            _ => return self.wrong("an escape that is none"),
        }
        Ok(())
    }

    /// The code unit of the `\uXXXX` at this place.
    fn unit(&self, at: usize) -> Option<u32> {
        unit(self.bytes.get(at..at + 6)?)
    }

    /// A number.
    #[inline]
    pub fn number(&mut self, what: &'static str) -> Scan<Number> {
        let first = self.peek();
        let negative = first == b'-';
        let mut at = self.at + usize::from(negative);
        let digit = |at: usize| match self.bytes.get(at) {
            Some(byte) if byte.is_ascii_digit() => Some(u64::from(byte - b'0')),
            _ => None,
        };
        let Some(leading) = digit(at) else { return self.wrong(what) };
        at += 1;
        let mut digits = leading;
        let start = at;
        if leading != 0 {
            while let Some(next) = digit(at) {
                digits = digits.wrapping_mul(10).wrapping_add(next);
                at += 1;
            }
        }
        let mut significant = at - start + usize::from(leading != 0);
        let mut number = Number { negative, digits: None, places: 0, fraction: false, exponent: false };
        if self.bytes.get(at) == Some(&b'.') {
            at += 1;
            let point = at;
            while let Some(next) = digit(at) {
                digits = digits.wrapping_mul(10).wrapping_add(next);
                at += 1;
            }
            if at == point {
                return self.wrong("a number without digits after its point");
            }
            significant += at - point;
            number.places = u32::try_from(at - point).unwrap_or(u32::MAX);
            number.fraction = true;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            at += usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-')));
            if digit(at).is_none() {
                return self.wrong("a number without digits in its exponent");
            }
            while digit(at).is_some() {
                at += 1;
            }
            number.fraction = true;
            number.exponent = true;
        }
        number.digits = (significant <= 18).then_some(digits);
        self.at = at;
        Ok(number)
    }

    /// Any value, checked and passed.
    pub fn skip(&mut self) -> Scan<()> {
        self.skip_within(DEPTH_MAX)
    }

    fn skip_within(&mut self, depth: u32) -> Scan<()> {
        match self.peek() {
            b'"' => self.string("a string").map(|_| ()),
            b'-' | b'0'..=b'9' => self.number("a number").map(|_| ()),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'{' | b'[' if depth == 0 => self.wrong("nested more than 64 deep"),
            b'{' => {
                self.at += 1;
                if self.pass(b'}') {
                    return Ok(());
                }
                loop {
                    self.string("a field's name in quotes")?;
                    self.expect(b':', "a colon after a field's name")?;
                    self.skip_within(depth - 1)?;
                    if !self.pass(b',') {
                        return self.expect(b'}', "a comma or the end of an object");
                    }
                }
            }
            b'[' => {
                self.at += 1;
                if self.pass(b']') {
                    return Ok(());
                }
                loop {
                    self.skip_within(depth - 1)?;
                    if !self.pass(b',') {
                        return self.expect(b']', "a comma or the end of an array");
                    }
                }
            }
            _ => self.wrong("not a JSON value"),
        }
    }
}

impl<'a> Text<'a> {
    /// The bytes between the quotes, where there are no escapes.
    pub fn plain(&self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.raw)
    }

    /// What the string says. `buffer` is used where it has escapes.
    pub fn decoded<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.escaped {
            return self.raw;
        }
        buffer.clear();
        let mut rest = self.raw;
        while let Some((&byte, after)) = rest.split_first() {
            if byte != b'\\' {
                buffer.push(byte);
                rest = after;
                continue;
            }
            rest = match after[0] {
                b'u' => {
                    let high = unit(rest).expect("the scanner has checked it");
                    let (point, length) = if (0xd800..0xdc00).contains(&high) {
                        let low = unit(&rest[6..]).expect("the scanner has checked it");
                        (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
                    } else {
                        (high, 6)
                    };
                    let character = char::from_u32(point).expect("no surrogate is left alone");
                    buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    &rest[length..]
                }
                letter => {
                    buffer.push(match letter {
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        same => same,
                    });
                    &rest[2..]
                }
            };
        }
        buffer
    }

    /// Appends the string with its quotes, in the one form that has no escape but the needed.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        if !self.escaped {
            out.extend_from_slice(self.raw);
        } else {
            let mut buffer = Vec::new();
            for &byte in self.decoded(&mut buffer) {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\t' => out.extend_from_slice(b"\\t"),
                    0..=0x1f => {
                        let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                        out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
                    }
                    _ => out.push(byte),
                }
            }
        }
        out.push(b'"');
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte that is zero; bytes above the lowest such one may be marked wrongly.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

fn unit(escape: &[u8]) -> Option<u32> {
    let hex = escape.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    hex.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

//! JSON by RFC 8259, strictly: a cursor over bytes that checks everything it passes, UTF-8 included, and builds
//! nothing; strings and numbers are remembered as places in the text. Never enters: what an invoice is.
//!
//! Each step has a short way for what nearly all text looks like, and a long one that is complete.

/// How deep objects and arrays may lie in one another.
const DEPTH_MAX: u32 = 64;
/// How many bytes of a string are looked at in one step.
pub const CHUNK: usize = 16;

/// What is wrong, and where.
#[derive(Clone, Copy, Debug)]
pub struct Malformed {
    /// Byte of the record's value, from 0.
    pub at: usize,
    /// What was wanted there.
    pub what: &'static str,
}

/// Something is wrong; the scanner remembers what. It is empty so that results stay in registers.
#[derive(Clone, Copy, Debug)]
pub struct Wrong;

/// A piece of the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Its first byte.
    pub at: usize,
    /// How many there are.
    pub length: usize,
}

impl Span {
    /// The bytes themselves.
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.at..][..self.length]
    }
}

/// A string between its quotes, checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text {
    /// Where it stands.
    pub span: Span,
    /// Whether it has escapes.
    pub escaped: bool,
}

/// A number as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Number {
    /// Where it stands.
    pub span: Span,
    /// Its digits before and after the point, without sign and exponent, where there are at most 18.
    pub digits: i64,
    /// Whether it starts with a minus sign.
    pub negative: bool,
    /// Whether it has more than 18 digits or an exponent: `digits` is not its value then.
    pub strange: bool,
    /// How many of the digits stand after the point; at least 1 if there is one.
    pub places: u32,
}

/// The name of a field as two words: its bytes in order, zeros behind. Names of more than 16 bytes are [`OTHER`].
pub type Name = (u64, u64);

/// A name that no field of interest has.
pub const OTHER: Name = (0, 0);

/// The words of a name.
pub const fn name(text: &str) -> Name {
    pack(text.as_bytes())
}

const fn pack(bytes: &[u8]) -> Name {
    let mut words = [0; 2];
    let mut at = 0;
    while at < bytes.len() {
        words[at / 8] |= (bytes[at] as u64) << (at % 8 * 8);
        at += 1;
    }
    (words[0], words[1])
}

/// The low bytes that a name of this length has in each word.
const MASKS: [Name; CHUNK + 1] = {
    let mut masks = [OTHER; CHUNK + 1];
    let mut length = 0;
    while length <= CHUNK {
        masks[length] = pack([0xff; CHUNK].split_at(length).0);
        length += 1;
    }
    masks
};

/// The cursor.
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    fault: Malformed,
}

type Scan<T> = Result<T, Wrong>;

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Scanner<'a> {
        Scanner { bytes, at: 0, fault: Malformed { at: 0, what: "" } }
    }

    /// The whole text.
    pub fn text(&self) -> &'a [u8] {
        self.bytes
    }

    #[cold]
    #[inline(never)]
    pub fn wrong<T>(&mut self, what: &'static str) -> Scan<T> {
        self.fault = Malformed { at: self.at, what };
        Err(Wrong)
    }

    /// What was wrong.
    pub fn fault(&self) -> Malformed {
        self.fault
    }

    /// The byte at a place; 0, which nothing starts with, at the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The next byte after white space, not passed; 0 at the end.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        let byte = self.byte(self.at);
        if byte > b' ' { byte } else { self.peek_after_space() }
    }

    fn peek_after_space(&mut self) -> u8 {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.byte(self.at) {
            self.at += 1;
        }
        self.byte(self.at)
    }

    /// Passes this byte, after white space.
    #[inline(always)]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Scan<()> {
        if self.peek() != byte {
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
    #[inline(always)]
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

    /// The next 16 bytes from a place, if there are as many.
    #[inline(always)]
    fn chunk(&self, at: usize) -> Option<&'a [u8; CHUNK]> {
        self.bytes.get(at..)?.first_chunk()
    }

    /// A string.
    #[inline(always)]
    pub fn string(&mut self, what: &'static str) -> Scan<Text> {
        self.expect(b'"', what)?;
        let start = self.at;
        if let Some(chunk) = self.chunk(start) {
            let length = marks::first(chunk);
            if self.byte(start + length) == b'"' {
                self.at = start + length + 1;
                return Ok(Text { span: Span { at: start, length }, escaped: false });
            }
        }
        let escaped = self.long_string()?;
        Ok(Text { span: Span { at: start, length: self.at - start - 1 }, escaped })
    }

    /// Passes a string that does not end within 16 plain bytes, or ends the text. Returns whether it has escapes.
    #[inline(never)]
    fn long_string(&mut self) -> Scan<bool> {
        let mut escaped = false;
        loop {
            while let Some(chunk) = self.chunk(self.at) {
                let plain = marks::first(chunk);
                self.at += plain;
                if plain < CHUNK {
                    break;
                }
            }
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
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
    #[inline(always)]
    fn multi_byte(&mut self) -> Scan<()> {
        let (bytes, at) = (self.bytes, self.at);
        let byte = |place: usize| bytes.get(at + place).copied().unwrap_or(0);
        let tail = |byte: u8| (0x80..=0xbf).contains(&byte);
        let second = byte(1);
        let length = match byte(0) {
            0xc2..=0xdf if tail(second) => 2,
            0xe0 if (0xa0..=0xbf).contains(&second) && tail(byte(2)) => 3,
            0xe1..=0xec | 0xee | 0xef if tail(second) && tail(byte(2)) => 3,
            0xed if (0x80..=0x9f).contains(&second) && tail(byte(2)) => 3,
            0xf0 if (0x90..=0xbf).contains(&second) && tail(byte(2)) && tail(byte(3)) => 4,
            0xf1..=0xf3 if tail(second) && tail(byte(2)) && tail(byte(3)) => 4,
            0xf4 if (0x80..=0x8f).contains(&second) && tail(byte(2)) && tail(byte(3)) => 4,
            _ => return self.wrong("not UTF-8"),
        };
        self.at += length;
        Ok(())
    }

    /// Passes one escape; a `\u` of a surrogate must be the first half of a pair.
    fn escape(&mut self) -> Scan<()> {
        match self.byte(self.at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => match self.unit(self.at) {
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

    /// A field's name and its colon.
    #[inline(always)]
    pub fn field(&mut self) -> Scan<Name> {
        let text = self.string("a field's name in quotes")?;
        self.expect(b':', "a colon after a field's name")?;
        match self.chunk(text.span.at) {
            Some(chunk) if !text.escaped && text.span.length <= CHUNK => {
                let (low, high) = pack_chunk(chunk);
                let masks = MASKS[text.span.length];
                Ok((low & masks.0, high & masks.1))
            }
            _ => Ok(self.strange_field(text)),
        }
    }

    #[cold]
    fn strange_field(&self, text: Text) -> Name {
        let mut buffer = Vec::new();
        match text.decoded(self.bytes, &mut buffer) {
            // A zero in a name would look like its end.
            name if name.len() <= CHUNK && !name.contains(&0) => pack(name),
            _ => OTHER,
        }
    }

    /// A number.
    #[inline(always)]
    pub fn number(&mut self, what: &'static str) -> Scan<Number> {
        let negative = self.peek() == b'-';
        let start = self.at;
        let mut at = start + usize::from(negative);
        let bytes = self.bytes;
        let digit = |at: usize| bytes.get(at).copied().unwrap_or(0).wrapping_sub(b'0');
        let leading = digit(at);
        if leading > 9 {
            return self.wrong(what);
        }
        let mut digits = i64::from(leading);
        at += 1;
        if leading != 0 {
            // A loop costs more in a guest than its body here; six digits are nearly all there are.
            let mut left = 6;
            loop {
                let next = digit(at);
                if next > 9 {
                    break;
                }
                digits = digits.wrapping_mul(10).wrapping_add(i64::from(next));
                at += 1;
                left -= 1;
                if left == 0 {
                    (digits, at) = self.more_digits(digits, at);
                    break;
                }
            }
        }
        let mut places = 0;
        let mut byte = self.byte(at);
        if byte == b'.' {
            at += 1;
            let point = at;
            let mut left = 3;
            loop {
                let next = digit(at);
                if next > 9 {
                    break;
                }
                digits = digits.wrapping_mul(10).wrapping_add(i64::from(next));
                at += 1;
                left -= 1;
                if left == 0 {
                    (digits, at) = self.more_digits(digits, at);
                    break;
                }
            }
            places = at - point;
            if places == 0 {
                return self.wrong("a number without digits after its point");
            }
            byte = self.byte(at);
        }
        // Sign and point count too; a number of 18 bytes has at most 18 digits.
        let mut strange = at - start > 18 && self.more_than_18_digits(start, at);
        if byte | 0x20 == b'e' {
            at = self.exponent(at)?;
            strange = true;
        }
        self.at = at;
        let span = Span { at: start, length: at - start };
        Ok(Number { span, digits, negative, strange, places: u32::try_from(places).unwrap_or(u32::MAX) })
    }

    #[inline(never)]
    fn more_digits(&self, mut digits: i64, mut at: usize) -> (i64, usize) {
        while self.byte(at).is_ascii_digit() {
            digits = digits.wrapping_mul(10).wrapping_add(i64::from(self.byte(at) - b'0'));
            at += 1;
        }
        (digits, at)
    }

    #[cold]
    fn more_than_18_digits(&self, start: usize, end: usize) -> bool {
        self.bytes[start..end].iter().filter(|byte| byte.is_ascii_digit()).count() > 18
    }

    /// Where the exponent that begins here ends.
    #[cold]
    fn exponent(&mut self, at: usize) -> Scan<usize> {
        let mut at = at + 1;
        at += usize::from(matches!(self.byte(at), b'+' | b'-'));
        if !self.byte(at).is_ascii_digit() {
            return self.wrong("a number without digits in its exponent");
        }
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        Ok(at)
    }

    /// Any value, checked and passed.
    #[inline(never)]
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
                    self.field()?;
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

impl Text {
    /// What the string says. `buffer` is used where it has escapes.
    pub fn decoded<'b>(&self, text: &'b [u8], buffer: &'b mut Vec<u8>) -> &'b [u8] {
        let raw = self.span.of(text);
        if !self.escaped {
            return raw;
        }
        buffer.clear();
        let mut rest = raw;
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
}

#[inline(always)]
fn pack_chunk(chunk: &[u8; CHUNK]) -> Name {
    let word = |half: &[u8]| u64::from_le_bytes(*half.first_chunk().expect("half of a chunk is a word"));
    (word(&chunk[..8]), word(&chunk[8..]))
}

fn unit(escape: &[u8]) -> Option<u32> {
    let hex = escape.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    hex.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// Where the first byte of a chunk stands that is a quote, a backslash, a control character or not ASCII; 16 if none.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod marks {
    use super::CHUNK;
    use core::arch::wasm32::{i8x16_bitmask, i8x16_eq, i8x16_lt, i8x16_splat, v128_load, v128_or};

    #[inline(always)]
    pub fn first(chunk: &[u8; CHUNK]) -> usize {
        // SAFETY: the chunk is 16 bytes long; the load needs no alignment.
        let bytes = unsafe { v128_load(chunk.as_ptr().cast()) };
        let quotes = v128_or(i8x16_eq(bytes, i8x16_splat(0x22)), i8x16_eq(bytes, i8x16_splat(0x5c)));
        // As signed numbers, bytes from 0x80 are below 0x20 too.
        let marks = v128_or(quotes, i8x16_lt(bytes, i8x16_splat(0x20)));
        (u32::from(i8x16_bitmask(marks)) | 1 << CHUNK).trailing_zeros() as usize
    }
}

/// The same, by words.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod marks {
    use super::{CHUNK, pack_chunk};

    const ONES: u64 = 0x0101_0101_0101_0101;

    #[inline(always)]
    pub fn first(chunk: &[u8; CHUNK]) -> usize {
        let (low, high) = pack_chunk(chunk);
        match marks(low) {
            0 => match marks(high) {
                0 => CHUNK,
                marks => 8 + marks.trailing_zeros() as usize / 8,
            },
            marks => marks.trailing_zeros() as usize / 8,
        }
    }

    /// The high bit of each byte that is looked for. A borrow can mark a byte above a marked one wrongly; only the
    /// lowest mark is used.
    #[inline(always)]
    fn marks(word: u64) -> u64 {
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let quotes = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        (quotes | controls | word) & (ONES * 0x80)
    }
}

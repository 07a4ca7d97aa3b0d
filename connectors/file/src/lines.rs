//! Where lines end in a chunk of bytes. Pure. A line is its bytes without `\n` or `\r\n`; a line without bytes is counted
//! and gives no record; so does a byte order mark before the first line.

use bytes::Bytes;

/// A line that is a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, sharing the chunk's memory.
    pub bytes: Bytes,
    /// Its number in the file, from 1.
    pub number: u64,
    /// Where the next line begins in the chunk.
    pub end: usize,
}

/// The lines of a chunk, and how far they reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The records.
    pub lines: Vec<Line>,
    /// Bytes of the chunk that were used up.
    pub used: usize,
    /// Lines that were used up, those without bytes too.
    pub counted: u64,
}

/// What to make of bytes after the last line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More may come: leave them.
    Await,
    /// They end the file: a line.
    Take,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits a chunk that begins at the start of line `first_number`, into at most `max` records.
pub fn split(chunk: &Bytes, first_number: u64, rest: Rest, max: usize) -> Lines {
    let mut result = Lines::default();
    let mut start = 0;
    let take = |result: &mut Lines, from: usize, to: usize, end: usize| {
        let mut bytes = &chunk[from..to];
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let number = first_number + result.counted;
        if number == 1 {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        result.counted += 1;
        if !bytes.is_empty() {
            result.lines.push(Line { bytes: chunk.slice_ref(bytes), number, end });
        }
    };
    for end in memchr::memchr_iter(b'\n', chunk) {
        if result.lines.len() >= max {
            break;
        }
        take(&mut result, start, end, end + 1);
        start = end + 1;
    }
    if rest == Rest::Take
        && start < chunk.len()
        && result.lines.len() < max
        && !chunk[start..].contains(&b'\n')
    {
        take(&mut result, start, chunk.len(), chunk.len());
        start = chunk.len();
    }
    result.used = start;
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(chunk: &'static [u8], rest: Rest, max: usize) -> String {
        let lines = split(&Bytes::from_static(chunk), 1, rest, max);
        let texts = lines.lines.iter().map(|line| format!("{}:{}", line.number, line.bytes.escape_ascii()));
        format!("{} used {} counted {}", texts.collect::<Vec<_>>().join(" "), lines.used, lines.counted)
    }

    #[test]
    fn lines_end_where_they_should() {
        use Rest::*;
        for (chunk, rest, max, expected) in [
            (&b""[..], Take, 9, " used 0 counted 0"),
            (b"a\nb\n", Await, 9, "1:a 2:b used 4 counted 2"),
            (b"a\nb", Await, 9, "1:a used 2 counted 1"),
            (b"a\nb", Take, 9, "1:a 2:b used 3 counted 2"),
            (b"a\r\n\r\n\nb\r", Take, 9, "1:a 4:b used 8 counted 4"),
            (b"a\nb\nc\n", Take, 2, "1:a 2:b used 4 counted 2"),
            (b"\xef\xbb\xbf{}\n\xef\xbb\xbf", Take, 9, "1:{} 2:\\xef\\xbb\\xbf used 9 counted 2"),
            // Cut inside a UTF-8 character: bytes are bytes.
            (b"\"\xc3\n\xff\n", Await, 9, "1:\\\"\\xc3 2:\\xff used 5 counted 2"),
        ] {
            assert_eq!(texts(chunk, rest, max), expected, "{}", chunk.escape_ascii());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_limits_give_the_same_lines(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x'), any::<u8>()], 0..200),
            maxes in proptest::collection::vec(1usize..5, 1..20),
        ) {
            let all = Bytes::from(text);
            let whole = split(&all, 1, Rest::Take, usize::MAX);
            let (mut at, mut number, mut lines) = (0, 1, Vec::new());
            for max in maxes.iter().cycle() {
                let part = split(&all.slice(at..), number, Rest::Take, *max);
                if part.used == 0 { break }
                lines.extend(part.lines.into_iter().map(|line| Line { end: at + line.end, ..line }));
                at += part.used;
                number += part.counted;
            }
            prop_assert_eq!(lines, whole.lines);
            prop_assert_eq!(at, all.len());
        }
    }
}

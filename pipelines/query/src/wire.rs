//! PostgreSQL's messages, version 3 of its protocol (PostgreSQL's manual, "Frontend/Backend Protocol"), as far as questions need
//! them: bytes to what is asked, what is answered to bytes. Every length is held against a bound before anything is made of it.
//! Never enters: sockets, what is asked.

use bytes::Bytes;

/// The longest message that is taken: a text of the longest there may be, and parameters.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The longest first message.
pub(crate) const STARTUP_BYTES_MAX: usize = 10_000;

/// What a client says first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    /// It asks for encryption, of which there is none.
    Encrypt,
    /// It wants a query of another connection stopped.
    Cancel { process: i32, secret: i32 },
    /// It begins; with a later minor version of the protocol, of which 0 is served.
    Begin { minor: u16 },
    /// Another protocol.
    Unknown(u32),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

/// A statement or a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement,
    Portal,
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Query(String),
    Parse {
        name: String,
        sql: String,
        kinds: Vec<u32>,
    },
    Bind {
        portal: String,
        statement: String,
        formats: Vec<Format>,
        values: Vec<Option<Bytes>>,
        results: Vec<Format>,
    },
    Describe(Target, String),
    Execute {
        portal: String,
        rows_max: usize,
    },
    Close(Target, String),
    Flush,
    Sync,
    Terminate,
    /// Something that has no place here, a function call for example.
    Other(u8),
}

/// What is left of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or("a message that is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or("a text without end")?;
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_| "a text that is not UTF-8")?;
        self.0 = &self.0[end + 1..];
        Ok(text.to_owned())
    }

    /// A count, and so many items, each of which has `least` bytes or more.
    fn list<T>(
        &mut self,
        least: usize,
        one: impl Fn(&mut Rest<'a>) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let count = usize::from(self.u16()?);
        if count * least > self.0.len() {
            return Err(format!("a list of {count} in {} bytes", self.0.len()));
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn format(&mut self) -> Result<Format, String> {
        match self.u16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(format!("values in format {other}; there are 0 and 1")),
        }
    }

    fn target(&mut self) -> Result<Target, String> {
        match self.array::<1>()? {
            [b'S'] => Ok(Target::Statement),
            [b'P'] => Ok(Target::Portal),
            [other] => Err(format!("neither a statement nor a portal: {other}")),
        }
    }
}

/// Reads the first message, without its length.
pub(crate) fn startup(body: &[u8]) -> Result<Startup, String> {
    let mut rest = Rest(body);
    let code = u32::from_be_bytes(rest.array()?);
    Ok(match code {
        80_877_103 | 80_877_104 => Startup::Encrypt,
        80_877_102 => Startup::Cancel { process: rest.i32()?, secret: rest.i32()? },
        code if code >> 16 == 3 => Startup::Begin { minor: (code & 0xffff) as u16 },
        code => Startup::Unknown(code),
    })
}

/// Reads a message of this kind.
pub(crate) fn message(kind: u8, body: &[u8]) -> Result<Message, String> {
    let mut rest = Rest(body);
    Ok(match kind {
        b'Q' => Message::Query(rest.text()?),
        b'P' => {
            let (name, sql) = (rest.text()?, rest.text()?);
            Message::Parse { name, sql, kinds: rest.list(4, |rest| Ok(rest.i32()?.cast_unsigned()))? }
        }
        b'B' => {
            let (portal, statement) = (rest.text()?, rest.text()?);
            let formats = rest.list(2, Rest::format)?;
            let values = rest.list(4, |rest| {
                let bytes = rest.i32()?;
                let value = usize::try_from(bytes).ok().map(|bytes| rest.take(bytes)).transpose()?;
                Ok(value.map(Bytes::copy_from_slice))
            })?;
            Message::Bind { portal, statement, formats, values, results: rest.list(2, Rest::format)? }
        }
        b'D' => Message::Describe(rest.target()?, rest.text()?),
        b'E' => {
            let portal = rest.text()?;
            Message::Execute { portal, rows_max: usize::try_from(rest.i32()?).unwrap_or(0) }
        }
        b'C' => Message::Close(rest.target()?, rest.text()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        other => Message::Other(other),
    })
}

/// A column as it is described.
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    /// The type's id in `pg_type`.
    pub(crate) kind: u32,
    /// Its size; negative where it varies.
    pub(crate) size: i16,
    /// What is more to the type; -1 for nothing.
    pub(crate) modifier: i32,
    pub(crate) format: Format,
}

/// Why something is refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The place in the text, in characters, from 1.
    pub(crate) position: Option<usize>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: None, position: None }
    }
}

/// Answers, one behind another.
#[derive(Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    /// Adds a message, whose length stands before what is written.
    fn add(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.push(kind);
        let at = self.0.len();
        self.0.extend([0; 4]);
        write(&mut self.0);
        let length = u32::try_from(self.0.len() - at).expect("a message is far smaller than 4 GiB");
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(crate) fn authenticated(&mut self) {
        self.add(b'R', |out| out.extend(0i32.to_be_bytes()));
    }

    /// A later minor version of the protocol was asked for.
    pub(crate) fn version(&mut self) {
        self.add(b'v', |out| out.extend([0; 8]));
    }

    pub(crate) fn parameter(&mut self, name: &str, value: &str) {
        self.add(b'S', |out| [name, value].iter().for_each(|text| put(out, text)));
    }

    pub(crate) fn key(&mut self, process: i32, secret: i32) {
        self.add(b'K', |out| [process, secret].iter().for_each(|n| out.extend(n.to_be_bytes())));
    }

    pub(crate) fn ready(&mut self, status: u8) {
        self.add(b'Z', |out| out.push(status));
    }

    pub(crate) fn columns(&mut self, columns: &[Column<'_>]) {
        self.add(b'T', |out| {
            out.extend((columns.len() as u16).to_be_bytes());
            for column in columns {
                put(out, column.name);
                // Of no table's column.
                out.extend([0; 6]);
                out.extend(column.kind.to_be_bytes());
                out.extend(column.size.to_be_bytes());
                out.extend(column.modifier.to_be_bytes());
                out.extend((column.format as u16).to_be_bytes());
            }
        });
    }

    /// Adds a row, whose values `write` gives one by one: nothing of a null.
    pub(crate) fn row<E>(
        &mut self,
        columns: usize,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let start = self.0.len();
        let mut result = Ok(());
        self.add(b'D', |out| {
            out.extend((columns as u16).to_be_bytes());
            for column in 0..columns {
                let at = out.len();
                out.extend((-1i32).to_be_bytes());
                match write(column, out) {
                    Ok(true) => {
                        let length = (out.len() - at - 4) as i32;
                        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
                    }
                    Ok(false) => out.truncate(at + 4),
                    Err(error) => {
                        result = Err(error);
                        return;
                    }
                }
            }
        });
        if result.is_err() {
            // Half a row is none.
            self.0.truncate(start);
        }
        result
    }

    pub(crate) fn complete(&mut self, tag: &str) {
        self.add(b'C', |out| put(out, tag));
    }

    pub(crate) fn parameters(&mut self, kinds: &[u32]) {
        self.add(b't', |out| {
            out.extend((kinds.len() as u16).to_be_bytes());
            kinds.iter().for_each(|kind| out.extend(kind.to_be_bytes()));
        });
    }

    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        let position = refusal.position.map(|position| position.to_string());
        let more = [(b'H', refusal.hint.as_deref()), (b'P', position.as_deref())];
        self.told(b'E', "ERROR", refusal.code, &refusal.message, &more);
    }

    pub(crate) fn notice(&mut self, text: &str) {
        self.told(b'N', "NOTICE", "00000", text, &[]);
    }

    fn told(&mut self, kind: u8, severity: &str, code: &str, message: &str, more: &[(u8, Option<&str>)]) {
        self.add(kind, |out| {
            let fields = [(b'S', severity), (b'V', severity), (b'C', code), (b'M', message)];
            let more = more.iter().filter_map(|(field, text)| Some((*field, (*text)?)));
            for (field, text) in fields.into_iter().chain(more) {
                out.push(field);
                put(out, text);
            }
            out.push(0);
        });
    }

    /// `ParseComplete` and the others that say nothing but their kind.
    pub(crate) fn bare(&mut self, kind: u8) {
        self.add(kind, |_| {});
    }
}

/// A text with its end; it has none inside.
fn put(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        assert_eq!(message(b'Q', b"SELECT 1\0"), Ok(Message::Query("SELECT 1".into())));
        let parse = Message::Parse { name: "a".into(), sql: "SELECT $1".into(), kinds: vec![23] };
        assert_eq!(message(b'P', b"a\0SELECT $1\0\0\x01\0\0\0\x17"), Ok(parse));
        let bind = message(b'B', b"\0a\0\0\x01\0\x01\0\x02\0\0\0\x02xy\xff\xff\xff\xff\0\x00");
        let Ok(Message::Bind { portal, statement, formats, values, results }) = bind else {
            panic!("{bind:?}")
        };
        assert_eq!((portal.as_str(), statement.as_str()), ("", "a"));
        assert_eq!((formats, results), (vec![Format::Binary], vec![]));
        assert_eq!(values, [Some(Bytes::from_static(b"xy")), None]);
        assert_eq!(
            message(b'E', b"\0\0\0\0\x05"),
            Ok(Message::Execute { portal: String::new(), rows_max: 5 })
        );
        assert_eq!(message(b'D', b"Sx\0"), Ok(Message::Describe(Target::Statement, "x".into())));
        assert_eq!(message(b'F', b""), Ok(Message::Other(b'F')));
        assert_eq!(startup(&[0, 3, 0, 2]), Ok(Startup::Begin { minor: 2 }));
        assert_eq!(startup(&80_877_103u32.to_be_bytes()), Ok(Startup::Encrypt));
        assert_eq!(startup(&[0, 2, 0, 0]), Ok(Startup::Unknown(0x20000)));
    }

    #[test]
    fn damaged_messages_are_refused_and_cost_nothing() {
        for (kind, body) in [
            (b'Q', &b"SELECT 1"[..]),
            (b'Q', b"\xff\xfe\0"),
            (b'P', b"a\0b\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
            (b'B', b"\0\0\0\x01\0\x02\0\0\0\0"),
            (b'B', b"\0\0\xff\xff"),
            (b'D', b"Xx\0"),
            (b'D', b""),
            (b'E', b"\0\0"),
        ] {
            assert!(message(kind, body).is_err(), "{kind} {body:?}");
        }
        assert!(startup(b"\0\x03").is_err());
        // Any cut of a message that was whole.
        let bind = b"\0a\0\0\x01\0\x01\0\x02\0\0\0\x02xy\xff\xff\xff\xff\0\0";
        for length in 0..bind.len() {
            assert!(message(b'B', &bind[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_written_leaves_nothing() {
        let mut out = Out::default();
        out.ready(b'I');
        let before = out.0.clone();
        let result = out.row(2, |column, out| {
            out.extend(b"some");
            if column == 1 { Err("no") } else { Ok(true) }
        });
        assert_eq!((result, &out.0), (Err("no"), &before));
        let written = out.row(2, |column, out| {
            out.extend(b"ab");
            Ok::<bool, ()>(column == 0)
        });
        assert!(written.is_ok());
        assert_eq!(out.0[before.len()..], *b"D\0\0\0\x10\0\x02\0\0\0\x02ab\xff\xff\xff\xff");
    }
}

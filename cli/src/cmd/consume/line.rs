//! How `consume` prints a record. Never enters: where it came from.

use std::io::{self, Write};

use crate::cmd::place::show_time;

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// A line each
    #[default]
    Text,
    /// A JSON object a line
    Json,
    /// The values' bytes alone
    Raw,
}

/// What a line of text has before the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Column {
    /// The time, in UTC
    Timestamp,
    /// The partition
    Partition,
    /// The offset
    Offset,
    /// The headers, as key=value with commas between
    Headers,
    /// The key
    Key,
}

/// A record to print.
pub(super) struct Line<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

#[derive(serde::Serialize)]
struct Object<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<(Text<'a>, Option<Text<'a>>)>,
}

/// Bytes in JSON: a string where they are UTF-8, else `{"hex": "…"}`, so that none is lost.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Text(&'a str),
    Bytes { hex: String },
}

fn text(bytes: &[u8]) -> Text<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Text::Text(text),
        Err(_) => Text::Bytes { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
    }
}

impl Line<'_> {
    /// Writes the record; `columns` count for text only.
    pub(super) fn write(&self, shape: Shape, columns: &[Column], out: &mut impl Write) -> io::Result<()> {
        match shape {
            Shape::Raw => out.write_all(self.value.unwrap_or_default()),
            Shape::Json => {
                let object = Object {
                    topic: self.topic,
                    partition: self.partition,
                    offset: self.offset,
                    timestamp: self.timestamp,
                    key: self.key.map(text),
                    value: self.value.map(text),
                    headers: self.headers.iter().map(|(key, value)| (text(key), value.map(text))).collect(),
                };
                serde_json::to_writer(&mut *out, &object)?;
                out.write_all(b"\n")
            }
            Shape::Text => {
                for column in columns {
                    self.write_column(*column, out)?;
                    out.write_all(b"\t")?;
                }
                out.write_all(self.value.unwrap_or(b"null"))?;
                out.write_all(b"\n")
            }
        }
    }

    fn write_column(&self, column: Column, out: &mut impl Write) -> io::Result<()> {
        match column {
            Column::Timestamp => out.write_all(show_time(self.timestamp).as_bytes()),
            Column::Partition => write!(out, "{}", self.partition),
            Column::Offset => write!(out, "{}", self.offset),
            Column::Key => out.write_all(self.key.unwrap_or(b"null")),
            Column::Headers => {
                for (at, (key, value)) in self.headers.iter().enumerate() {
                    out.write_all(if at == 0 { b"" } else { b"," })?;
                    out.write_all(key)?;
                    out.write_all(b"=")?;
                    out.write_all(value.unwrap_or(b"null"))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_in_each_shape() {
        let line = Line {
            topic: "t",
            partition: 3,
            offset: 42,
            timestamp: 0,
            key: None,
            value: Some(b"a\xff"),
            headers: vec![(b"h", Some(b"1")), (b"h", None)],
        };
        let all = [Column::Timestamp, Column::Partition, Column::Offset, Column::Headers, Column::Key];
        let cases: [(Shape, &[Column], &[u8]); 4] = [
            (Shape::Text, &[], b"a\xff\n"),
            (Shape::Text, &all, b"1970-01-01T00:00:00.000Z\t3\t42\th=1,h=null\tnull\ta\xff\n"),
            (Shape::Raw, &all, b"a\xff"),
            (
                Shape::Json,
                &[],
                b"{\"topic\":\"t\",\"partition\":3,\"offset\":42,\"timestamp\":0,\"key\":null,\"value\":{\"hex\":\"61ff\"},\
                  \"headers\":[[\"h\",\"1\"],[\"h\",null]]}\n",
            ),
        ];
        for (shape, columns, expected) in cases {
            let mut out = Vec::new();
            line.write(shape, columns, &mut out).expect("memory takes it");
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected), "{shape:?}");
        }
    }
}

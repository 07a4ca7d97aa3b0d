//! The text of a .proto file to the descriptor of a message. Never enters: records, columns.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::frames;
use crate::FormatError;

/// The most files that one may import, by itself and through others.
const IMPORTS_MAX: usize = 1_000;
/// The deepest nesting of brackets in a file. Values of options are read by recursion.
const BRACKETS_MAX: usize = 100;

/// Files that registries know without being told, apart from those of google/protobuf.
const KNOWN: [(&str, &str); 4] = [
    (
        "google/type/date.proto",
        r#"syntax = "proto3"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }"#,
    ),
    (
        "google/type/decimal.proto",
        r#"syntax = "proto3"; package google.type; message Decimal { string value = 1; }"#,
    ),
    (
        "confluent/type/decimal.proto",
        r#"syntax = "proto3"; package confluent.type;
        message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"#,
    ),
    (
        "confluent/meta.proto",
        r#"syntax = "proto3"; package confluent; import "google/protobuf/descriptor.proto";
        message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
        extend google.protobuf.FileOptions { Meta file_meta = 1088; }
        extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
        extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
        extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
        extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }"#,
    ),
];

/// A message type, with the text of the file that declares it.
#[derive(Clone)]
pub struct ProtobufSchema {
    text: Arc<str>,
    message: MessageDescriptor,
}

impl fmt::Debug for ProtobufSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtobufSchema({})", self.message.full_name())
    }
}

impl ProtobufSchema {
    /// Compiles `text`, the file `name`, for its message `message` (its full name; nothing for the only or first message of
    /// the file). `import` gives the text of a file that it imports; those of google/protobuf are known, and, unless it
    /// gives them, google/type's date and decimal and confluent's decimal and meta. proto2 and proto3, not editions. The
    /// error says what is wrong and where, by file, line and column.
    pub fn compile(
        name: &str,
        text: &str,
        message: Option<&str>,
        import: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ProtobufSchema, FormatError> {
        let file = compile(name, text, import).map_err(FormatError::Form)?;
        let mut all = Vec::new();
        file.messages().for_each(|message| with_nested(message, &mut all));
        let names = || all.iter().map(|m| m.full_name()).collect::<Vec<_>>().join(", ");
        let (mut top, form) = (file.messages(), FormatError::Form);
        let message = match (message, top.next(), top.next()) {
            (_, None, _) => return Err(form(format!("{name} declares no message"))),
            (Some(asked), ..) => all
                .iter()
                .find(|m| m.full_name() == asked.trim_start_matches('.'))
                .cloned()
                .ok_or_else(|| form(format!("{name} declares no message {asked}; it has {}", names())))?,
            (None, Some(only), None) => only,
            (None, ..) => {
                return Err(form(format!("{name} declares several messages; say which: {}", names())));
            }
        };
        Ok(ProtobufSchema { text: text.into(), message })
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The files that it imports itself, by name.
    pub fn imports(&self) -> impl Iterator<Item = String> + '_ {
        let file = self.message.parent_file();
        let names: Vec<String> = file.dependencies().map(|import| import.name().to_owned()).collect();
        names.into_iter()
    }

    /// The message's full name.
    pub fn message(&self) -> &str {
        self.message.full_name()
    }

    pub(super) fn descriptor(&self) -> &MessageDescriptor {
        &self.message
    }
}

fn with_nested(message: MessageDescriptor, all: &mut Vec<MessageDescriptor>) {
    let nested = frames::nested(&message);
    all.push(message);
    nested.into_iter().for_each(|message| with_nested(message, all));
}

/// Compiles a file and what it imports; the error is for a person.
pub(super) fn compile(
    name: &str,
    text: &str,
    import: &dyn Fn(&str) -> Option<String>,
) -> Result<FileDescriptor, String> {
    let files = gather(name, text, import)?;
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.open_file(name).map_err(|error| told(&error))?;
    let found = compiler.descriptor_pool().get_file_by_name(name);
    found.ok_or_else(|| format!("{name} was not compiled"))
}

/// An error with its file, line and column, which the library shows in its form for debugging only.
fn told(error: &protox::Error) -> String {
    format!("{error:?}")
}

/// The files of a compilation, which asks for them by name.
struct Files {
    given: HashMap<String, File>,
    google: GoogleFileResolver,
}

impl FileResolver for Files {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.given.get(name) {
            Some(file) => Ok(file.clone()),
            None => self.google.open_file(name),
        }
    }
}

/// The file and those that it imports; the compiler itself refuses those that nobody gives.
fn gather(name: &str, text: &str, import: &dyn Fn(&str) -> Option<String>) -> Result<Files, String> {
    let mut files = Files { given: HashMap::new(), google: GoogleFileResolver::new() };
    let mut waiting = vec![(name.to_owned(), text.to_owned())];
    while let Some((name, text)) = waiting.pop() {
        let file = file(&name, &text)?;
        for needed in &file.file_descriptor_proto().dependency {
            let known = files.given.contains_key(needed)
                || *needed == name
                || waiting.iter().any(|(name, _)| name == needed)
                || files.google.open_file(needed).is_ok();
            let text = || {
                let built_in = || KNOWN.iter().find(|(name, _)| name == needed).map(|k| k.1.to_owned());
                import(needed).or_else(built_in)
            };
            if let Some(text) = if known { None } else { text() } {
                waiting.push((needed.clone(), text));
            }
        }
        files.given.insert(name, file);
        if files.given.len() + waiting.len() > IMPORTS_MAX {
            return Err(format!("more than {IMPORTS_MAX} imported files"));
        }
    }
    Ok(files)
}

/// A file from its text, or from its descriptor in base64, in which form some clients register it.
fn file(name: &str, text: &str) -> Result<File, String> {
    // No text of a file is base64: it has a blank or a semicolon in it.
    if let Ok(bytes) = STANDARD.decode(text.trim())
        && let Ok(descriptor) = FileDescriptorProto::decode(bytes.as_slice())
    {
        let name = Some(name.to_owned());
        return Ok(File::from_file_descriptor_proto(FileDescriptorProto { name, ..descriptor }));
    }
    match too_deep(text) {
        Some(line) => Err(format!("{name}:{line}: brackets are nested deeper than {BRACKETS_MAX}")),
        None => File::from_source(name, text).map_err(|error| told(&error)),
    }
}

/// The line on which brackets, outside of comments and strings, are too deep.
fn too_deep(text: &str) -> Option<usize> {
    let (bytes, mut at, mut depth, mut line) = (text.as_bytes(), 0, 0, 1);
    let mut until: Option<&[u8]> = None;
    while at < bytes.len() {
        let rest = &bytes[at..];
        line += usize::from(rest[0] == b'\n');
        at += 1;
        match until {
            Some(end) if rest.starts_with(end) => {
                at += end.len() - 1;
                until = None;
            }
            Some(b"\"" | b"'") if rest[0] == b'\\' => at += 1,
            Some(b"\"" | b"'") if rest[0] == b'\n' => until = None,
            Some(_) => {}
            None => match rest[0] {
                b'/' if rest.starts_with(b"//") => until = Some(b"\n"),
                b'/' if rest.starts_with(b"/*") => {
                    at += 1;
                    until = Some(b"*/");
                }
                b'#' => until = Some(b"\n"),
                b'"' => until = Some(b"\""),
                b'\'' => until = Some(b"'"),
                b'{' | b'[' | b'<' | b'(' => depth += 1,
                b'}' | b']' | b'>' | b')' => depth -= 1,
                _ => {}
            },
        }
        if depth > BRACKETS_MAX as isize {
            return Some(line);
        }
    }
    None
}

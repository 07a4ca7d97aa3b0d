//! The registry of diagnostics: every code with its meaning and remedy, in one table. docs/reference/diagnostics.md is
//! written from it, and a test holds them together. A code keeps its meaning for ever; one that goes is not used again.
//!
//! Never enters: when a code is raised.

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline does not run.
    Error,
    /// It runs, and probably not as meant.
    Warning,
}

impl Severity {
    /// The word in front of a code.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Who raises a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Raiser {
    /// This crate, from the text alone.
    Spec,
    /// `millstream-plan`, from the checked spec.
    Plan,
    /// The worker's `validate`, which opens SQL, functions and samples.
    Worker,
}

/// One kind of diagnostic.
#[derive(Debug)]
pub struct Code {
    /// `MSnnnn`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Who raises it.
    pub raiser: Raiser,
    /// What it says, in a few words.
    pub title: &'static str,
    /// Why it is so and what to do.
    pub explanation: &'static str,
}

impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.id == other.id
    }
}

impl Eq for Code {}

/// The code of an id, as `millstream docs MS0101` looks it up.
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.id == id)
}

macro_rules! codes {
    ($($name:ident = $id:literal, $raiser:ident, $severity:ident, $title:literal, $explanation:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $title, ".")]
            pub static $name: Code = Code {
                id: $id,
                severity: Severity::$severity,
                raiser: Raiser::$raiser,
                title: $title,
                explanation: $explanation,
            };
        )*
        /// Every code, in the order of their numbers.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    YAML_SYNTAX = "MS0001", Spec, Error, "the text is not YAML", "The YAML parser stopped here. Common causes: a tab used for indentation, a missing space after a colon, `${…}` without quotes inside `{ … }` or `[ … ]`.";
    FILE_TOO_LARGE = "MS0002", Spec, Error, "the file is too large", "A pipeline file has at most 1 MiB. Move data out of it: test inputs into files, tables into files.";
    TOO_DEEP = "MS0003", Spec, Error, "nested too deeply", "Lists and mappings nest at most 64 deep.";
    ALIAS_EXPANSION = "MS0004", Spec, Error, "aliases expand too far", "Aliases (`*name`) may make a file at most ten times as large as it is written.";
    DUPLICATE_KEY = "MS0005", Spec, Error, "a key is written twice", "Each key of a mapping is written once; YAML libraries differ in which one would win.";
    MORE_DOCUMENTS = "MS0006", Spec, Error, "more than one document", "A pipeline file is one YAML document; remove the second `---`.";
    TAG = "MS0007", Spec, Error, "a YAML tag", "Tags (`!name`) are not used in pipelines.";
    BAD_KEY = "MS0008", Spec, Error, "a key that is not a name", "Keys are names: not lists, mappings, nothing, or the merge key `<<`, which YAML 1.2 does not have.";
    NOT_A_MAPPING = "MS0009", Spec, Error, "the file is not a mapping", "A pipeline file is a mapping that starts with `version: 1`.";
    BAD_OVERRIDE = "MS0010", Spec, Error, "a --set that cannot be applied", "`--set` takes path=value, with a path of keys joined by dots, as topics.invoices.partitions=12; the value is one YAML scalar.";

    UNKNOWN_KEY = "MS0101", Spec, Error, "an unknown key", "Unknown keys are refused, since a mistyped one would otherwise be a setting that silently does nothing.";
    MISSING_KEY = "MS0102", Spec, Error, "a key is missing", "The component cannot work without this key.";
    WRONG_TYPE = "MS0103", Spec, Error, "a value of the wrong type", "Text that looks like a number or a boolean needs quotes; booleans are only `true` and `false`.";
    NOT_ALLOWED_VALUE = "MS0104", Spec, Error, "a value that is not one of those allowed", "The message lists the allowed ones.";
    OUT_OF_BOUNDS = "MS0105", Spec, Error, "a value outside its bounds", "The message names the bounds.";
    BAD_SCALAR = "MS0106", Spec, Error, "a value that is not written as its type wants", "Durations are `200ms 5s 10m 48h 30d`, sizes `64MiB 128MB`, rates `5%/1m`, ranges `2..8`, integers without underscores, instants ISO 8601 with `Z` or an offset.";
    UNKNOWN_TYPE = "MS0107", Spec, Error, "an unknown component type", "The message lists the types that this section knows.";
    NOT_IN_THIS_VERSION = "MS0108", Spec, Error, "not available in this version", "The shape is known and this version of Millstream does not run it yet.";
    BAD_VERSION = "MS0109", Spec, Error, "an unknown version of the file format", "This Millstream reads `version: 1`.";
    BAD_ID = "MS0110", Spec, Error, "an id that SQL could not read", "Ids are `[a-z_][a-z0-9_]*`, at most 64 characters: `a-b` is a subtraction in SQL, and unquoted names are lower-cased there.";
    RESERVED_ID = "MS0111", Spec, Error, "a reserved id", "The id is a keyword of SQL, or the name of something that Millstream makes beside it (`ingest`, `positions`, `splits`, `state`, `exchange`, `dead_letters`).";
    DUPLICATE_ID = "MS0112", Spec, Error, "an id is used twice", "Sources, tables, transforms and sinks share one space of names, since `inputs` names them.";
    BAD_NAME = "MS0113", Spec, Error, "a name that Kafka or the file system could not hold", "A pipeline's name is `[a-z][a-z0-9-]*`, at most 64 characters; a topic's name has ASCII letters, digits, `.`, `_` and `-`, at most 249.";
    NOTHING_TO_DO = "MS0114", Spec, Error, "nothing to read or nothing to write", "A pipeline has at least one source, and at least one sink or a transform of type `topic`.";
    CONFIG_REFUSED = "MS0115", Worker, Error, "the component refuses its settings", "The settings have the right shape and the component cannot work with them; its message says why.";
    CONTRADICTION = "MS0116", Spec, Error, "two settings contradict each other", "The message names both.";

    INTERPOLATION_SYNTAX = "MS0201", Spec, Error, "a ${…} that cannot be read", "Write `${env:NAME}`, `${file:/path}` or `${secret:name}`, each with an optional default as `${env:NAME:-default}`. A literal `${` is written `$${`.";
    NOT_SET = "MS0202", Spec, Error, "a variable or file that is not there", "Set it, or give a default: `${env:NAME:-default}`.";
    READ_NOT_ALLOWED = "MS0203", Spec, Error, "a variable or file outside the allow-list", "Who runs the pipeline allows the variables and files that it may read.";
    NO_INTERPOLATION_HERE = "MS0204", Spec, Error, "${…} where none may stand", "Ids, types, inputs, references, SQL and tests are fixed by the file, so that the graph and its checks do not depend on where it runs.";
    UNKNOWN_SECRET = "MS0205", Spec, Error, "an unknown secret", "`${secret:name}` names an entry of `secrets`.";
    SECRET_SHOWN = "MS0206", Spec, Error, "a secret where it would be shown", "This setting appears in logs, plans and metrics. Secrets (and contents of files) go only into settings that are kept from sight, such as `dsn` or `password`.";
    SECRET_IN_FILE = "MS0207", Spec, Warning, "a secret written in the file", "The value stands in the clear in a file that is shared and versioned. Use `${env:…}` or `secrets`.";
    UNUSED_SECRET = "MS0208", Spec, Warning, "a secret that nothing uses", "Remove it, or use it as `${secret:name}`.";

    UNKNOWN_INPUT = "MS0301", Spec, Error, "an unknown input", "`inputs` names sources, tables and transforms of this file.";
    CYCLE = "MS0302", Spec, Error, "components that read each other in a circle", "A record would go round for ever. The message shows the circle.";
    WRONG_KIND_OF_INPUT = "MS0303", Spec, Error, "an input of the wrong kind", "Tables go into `sql` (joined) and `lookup` (looked up); sinks are read by nothing; a topic is written by a `topic` transform, and that is what others read.";
    NUMBER_OF_INPUTS = "MS0304", Spec, Error, "too many or too few inputs", "The message says how many this type takes.";
    DUPLICATE_INPUT = "MS0305", Spec, Error, "an input is named twice", "Each record would come twice.";
    UNUSED = "MS0306", Spec, Warning, "nothing reads this", "The component runs and its output goes nowhere; or a schema or topic is declared and not used.";
    UNKNOWN_LOOKUP = "MS0307", Spec, Error, "a lookup that is not a table", "`lookup` names entries of `tables`.";
    UNKNOWN_SCHEMA = "MS0308", Spec, Error, "an unknown schema", "`output` and `schema` name entries of `schemas`.";
    UNKNOWN_TOPIC = "MS0309", Spec, Error, "an unknown topic", "`topic` names an entry of `topics`.";
    TOPIC_WRITTEN_TWICE = "MS0310", Spec, Error, "a topic with two writers", "One `topic` transform writes a topic, and the dead-letter topic is written by none. Join streams with several `inputs` instead.";
    TABLE_FORGETS = "MS0311", Spec, Warning, "a table over a topic that forgets", "A worker that starts reads the table's topic from its beginning: rows whose records are gone by then are not in it. Say `cleanup: compact` of the topic, or `retention: forever`.";
    TABLE_KEY = "MS0312", Spec, Error, "a table with another key than its topic's", "A later record takes the place of the one with its key; so the table's key is the topic's.";
    TARGET_WRITTEN_TWICE = "MS0313", Spec, Error, "two sinks of one target that spoil each other's rows", "One deletes or replaces what the other writes, or both write files of the same names. Give each a table or folder of its own. Two sinks may write one table where both only add rows, or replace rows by the same `key` and let none go.";

    NO_WATERMARK = "MS0401", Spec, Error, "event time without a watermark", "Windows and `within` are closed by a watermark. Put `watermark: { column: …, delay: … }` on the `topic` transform upstream.";
    WATERMARK_COLUMN = "MS0402", Spec, Error, "a window over another time than the watermark's", "The watermark promises order in one column; a window over another would never close, or close too soon.";
    LATE_WITHOUT_WINDOW = "MS0403", Spec, Error, "a rule about windows without a window", "`emit` and `late` say when windows fire; this query has none of TUMBLE, HOP, CUMULATE, SESSION.";
    LATE_TOPIC = "MS0404", Spec, Error, "a late rule and its topic do not fit", "`then: topic` (or `beyond: topic`) needs `topic: <id>`, and the other rules take none.";
    NO_DEAD_LETTER = "MS0405", Spec, Error, "late rows to dead letters that are not kept", "`errors: { data: { action: drop } }` (or stop) keeps no dead letters. Say `action: dead_letter`, or another rule for late rows. Without a `topic`, dead letters go to `<pipeline>-dead_letters`.";
    NEEDS_UPSERT = "MS0406", Spec, Error, "rows that take the place of earlier ones, where each counts", "`on_update`, `early` and `then: update` send a window's or group's row more than once, and a source with `upsert: true` brings such rows: a sink needs `mode: upsert` and the columns that rows are known by as its `key`; queries group them, or select from them.";
    WINDOW_INPUT = "MS0407", Spec, Error, "a window over something that is not a stream of this query", "The first argument of TUMBLE, HOP, CUMULATE and SESSION is one of the `inputs`, a stream.";

    DELIVERY = "MS0501", Spec, Error, "exactly once cannot be kept on this path", "A component of the path does not support it. Say `delivery: at_least_once` on the sink (or in `defaults`), or use another component.";

    FIELD_ATTRIBUTES = "MS0601", Spec, Error, "a field's type and its settings do not fit", "`decimal` needs `precision` (1 to 38) and takes `scale` (0 to precision), `list` needs `items`, `struct` needs `fields`; the other types take none of these.";
    UNKNOWN_COLUMN = "MS0602", Spec, Error, "a column that the schema does not have", "Keys, watermarks and partitions name columns of the schema that reaches them.";
    COLUMN_TYPE = "MS0603", Spec, Error, "a column of the wrong type", "Watermarks need a timestamp; keys cannot be lists or structs.";
    KEY_NOT_REQUIRED = "MS0604", Spec, Error, "a key that may be absent", "A key column has `required: true` in its schema.";
    FORMAT = "MS0605", Spec, Error, "a topic's format and its settings do not fit", "`schema` goes with avro and protobuf, `message` with protobuf, `registry` and `subject` with json, avro and protobuf, `delimiter` and `null_text` with csv. Protobuf needs a `schema` or a registry; `registry: true` needs `schema_registry`. A record of Arrow has many rows and no key: it is no row of a table, takes none away and is not put aside for one of them.";

    TEST_REFERENCE = "MS0701", Spec, Error, "a test names something that is not there", "`inputs` of a test names sources and tables; `expect` names transforms, sinks and topics.";
    TEST_EMPTY = "MS0702", Spec, Error, "a test that expects nothing", "Say `rows`, `count` or `unique_by` of at least one component.";
    TEST_FAIL_AT = "MS0703", Spec, Error, "an unknown point of failure", "`fail_at` is `<component>.<point>`; the message lists the points.";
    TEST_ROWS = "MS0704", Spec, Error, "a test row of the wrong form", "Rows of a source are text (as it would arrive) or mappings; rows of a table and of `expect` are mappings.";
    TEST_NAME = "MS0705", Spec, Error, "two tests of one name", "A test is run by its name.";
    TEST_INPUT = "MS0706", Worker, Error, "a test row that its source or table cannot bring", "A file source reads lines: write each line as a row. A table's row has plain values, no lists or mappings.";
    TEST_UNSEEN = "MS0707", Worker, Error, "an expectation of a topic that nothing writes", "Name a transform, a sink, or a topic that the pipeline writes.";
    TEST_RECORDED = "MS0708", Spec, Error, "a recording of something that is no topic", "A recording is replayed into a topic: it stands for a source of `type: topic`, for a `topic` transform, or for the topic of one. Other sources and tables get rows.";
    TEST_RECORDING = "MS0709", Worker, Error, "a recording that cannot be replayed", "The file is not there or too large, a line is not a record as `millstream record` writes it, or a record's partition is beyond those of the topic.";

    UNKNOWN_SCHEME = "MS0801", Spec, Error, "a DSN or URL whose scheme is not known", "The scheme chooses the connector, as `sqlite:` or `postgres:`.";

    EXCHANGE_NEEDED = "MS0901", Plan, Error, "an exchange is needed", "The operator needs all records of a key on one worker, and the topic that it reads is not keyed so. Key the topic by one of the operator's key columns, or write to another topic first.";
    STATE_WITHOUT_TOPIC = "MS0902", Plan, Error, "state without a topic before it", "A stateful operator reads a topic, whose partitions divide its state. Put a `topic` transform before it.";
    NAME_CLASH = "MS0903", Plan, Error, "a topic has a name that Millstream gives to another", "The topics that a pipeline makes beside the declared ones are named `<pipeline>-<operator>` and `<pipeline>-<operator>-state`. Rename the declared one with `name:`.";
    STAGE_INPUTS = "MS0904", Plan, Error, "an operator reads two topics", "Inputs from two topics meet only through an exchange, which this version does not have. Write both into one topic first.";

    SQL_SYNTAX = "MS1001", Worker, Error, "the SQL cannot be parsed", "The position is the SQL parser's, mapped to this file.";
    SQL_PLAN = "MS1002", Worker, Error, "the SQL cannot be planned", "A column, function or type is unknown or does not fit.";
    SQL_REFUSED = "MS1003", Worker, Error, "the SQL cannot run on an unbounded stream", "The message names the nearest form that can.";
    FUNCTION_LOAD = "MS1101", Worker, Error, "a Wasm module cannot be loaded", "It is missing, not a component, or imports what is not allowed.";
    FUNCTION_NAME = "MS1102", Worker, Error, "a function that has the name of another", "SQL has a function, or a form like one, of this name: a query that calls it would not say which it means. Give the pipeline's own another name.";
    SAMPLE = "MS1201", Worker, Error, "a sample does not fit the schema", "A file that the pipeline reads was opened and does not have the declared columns.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        for pair in ALL.windows(2) {
            assert!(pair[0].id < pair[1].id, "{} before {}", pair[0].id, pair[1].id);
        }
        for code in ALL {
            assert!(code.id.len() == 6 && code.id.starts_with("MS"), "{}", code.id);
            assert_eq!(find(code.id), Some(*code));
        }
        assert_eq!(find("MS9999"), None);
    }
}

//! One client's connection: statements and portals by name, the transaction that it thinks it has, what it may have. It reads
//! messages, asks the desk, and writes answers in their order. Each query sees what is committed when it begins, also inside of a
//! transaction. Never enters: how messages and values are written (`wire`, `cell`), connections of others.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use millstream_engine::sql::SqlProblem;
use millstream_engine::sql::at_rest::{Parameter, Statement};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::cell::{self, Cells, Kind};
use crate::desk::{Answer, Desk, DeskError};
use crate::wire::{
    Column, Format, MESSAGE_BYTES_MAX, Message, Out, Refusal, STARTUP_BYTES_MAX, Startup, Target, message,
    startup,
};

/// How long a client has to begin.
const STARTUP_WAIT: Duration = Duration::from_secs(10);
/// How much is gathered before it is sent.
const SEND_BYTES: usize = 64 << 10;
/// How many statements, and portals, a client may have at once.
const NAMED_MAX: usize = 256;

/// What a client is told of the server when it begins, and when it asks with `SHOW`.
const SETTINGS: &[(&str, &str)] = &[
    ("server_version", concat!("16.0 (Millstream ", env!("CARGO_PKG_VERSION"), ")")),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "off"),
    ("default_transaction_read_only", "on"),
];
/// What it is told when it asks only.
const MORE_SETTINGS: &[(&str, &str)] = &[
    ("transaction_isolation", "read committed"),
    ("transaction_isolation_level", "read committed"),
    ("default_transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("extra_float_digits", "1"),
];

/// How a client can be stopped by another connection.
pub(crate) struct Identity {
    pub(crate) process: i32,
    pub(crate) secret: i32,
    pub(crate) cancel: Arc<Notify>,
}

/// A statement that was read, with the types of its parameters; nothing of an empty text.
struct Prepared {
    statement: Option<Statement>,
    kinds: Vec<DataType>,
}

/// A statement with its parameters, and its answer as far as it was fetched.
struct Portal {
    prepared: Arc<Prepared>,
    values: Vec<Parameter>,
    formats: Vec<Format>,
    /// The answer, and how many of its rows were fetched.
    begun: Option<(Answer, usize)>,
}

/// What a statement gave.
enum Outcome {
    Rows(Answer),
    Done(&'static str),
}

pub(crate) struct Session<S> {
    stream: S,
    desk: Arc<Desk>,
    identity: Identity,
    /// `I` outside of a transaction, `T` inside, `E` inside of one that failed.
    status: u8,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    /// After an error of an extended query all is passed over to its end.
    skips: bool,
    out: Out,
}

/// Reads the first message of a connection; a client that wants encryption is told that there is none, and asks again.
pub(crate) async fn begin<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<Startup> {
    let reading = async {
        for _ in 0..3 {
            let length = stream.read_u32().await? as usize;
            if !(8..=STARTUP_BYTES_MAX).contains(&length) {
                let what =
                    format!("a first message of {length} bytes; the bounds are 8 and {STARTUP_BYTES_MAX}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let mut body = vec![0; length - 4];
            stream.read_exact(&mut body).await?;
            match startup(&body).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))? {
                Startup::Encrypt => stream.write_all(b"N").await?,
                other => return Ok(other),
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "encryption was asked for again and again"))
    };
    let waited = tokio::time::timeout(STARTUP_WAIT, reading).await;
    waited.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not begin")))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(stream: S, desk: Arc<Desk>, identity: Identity) -> Session<S> {
        let (statements, portals) = (HashMap::new(), HashMap::new());
        Session {
            stream,
            desk,
            identity,
            status: b'I',
            statements,
            portals,
            skips: false,
            out: Out::default(),
        }
    }

    /// Answers until the client goes. `minor` is the protocol's version that it asked for.
    pub(crate) async fn run(mut self, minor: u16) -> io::Result<()> {
        if minor > 0 {
            self.out.version();
        }
        self.out.authenticated();
        SETTINGS.iter().for_each(|(name, value)| self.out.parameter(name, value));
        self.out.key(self.identity.process, self.identity.secret);
        self.out.ready(self.status);
        self.send().await?;
        while let Some((kind, body)) = self.receive().await? {
            let message = match message(kind, &body) {
                Ok(Message::Terminate) => break,
                Ok(message) => message,
                Err(what) => {
                    // What follows it may be anything.
                    self.out.refuse(&Refusal::new("08P01", what));
                    self.send().await?;
                    break;
                }
            };
            self.take(message).await?;
        }
        Ok(())
    }

    /// The next message; nothing when the client has gone.
    async fn receive(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let kind = match self.stream.read_u8().await {
            Ok(kind) => kind,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = self.stream.read_u32().await? as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            let what = format!("a message of {length} bytes; the bounds are 4 and {MESSAGE_BYTES_MAX}");
            self.out.refuse(&Refusal::new("08P01", what));
            self.send().await?;
            return Ok(None);
        }
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).await?;
        Ok(Some((kind, body)))
    }

    async fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out.0).await?;
        self.out.0.clear();
        self.stream.flush().await
    }

    async fn take(&mut self, message: Message) -> io::Result<()> {
        if self.skips && !matches!(message, Message::Sync) {
            return Ok(());
        }
        let result = match message {
            Message::Query(sql) => {
                let result = self.simple(&sql).await?;
                if let Err(refusal) = result {
                    self.refuse(&refusal);
                }
                self.out.ready(self.status);
                return self.send().await;
            }
            Message::Sync => {
                self.skips = false;
                if self.status == b'I' {
                    // A portal lives as long as its transaction.
                    self.portals.clear();
                }
                self.out.ready(self.status);
                return self.send().await;
            }
            Message::Flush => return self.send().await,
            Message::Parse { name, sql, kinds } => self.parse(name, &sql, &kinds),
            Message::Bind { portal, statement, formats, values, results } => {
                self.bind(portal, &statement, (&formats, &values), results)
            }
            Message::Describe(target, name) => self.describe(target, &name),
            Message::Execute { portal, rows_max } => self.execute(&portal, rows_max).await?,
            Message::Close(target, name) => {
                match target {
                    Target::Statement => drop(self.statements.remove(&name)),
                    Target::Portal => drop(self.portals.remove(&name)),
                }
                self.out.bare(b'3');
                Ok(())
            }
            Message::Terminate => Ok(()),
            Message::Other(kind) => {
                let text =
                    format!("messages of kind {:?} are not taken: questions are, in SQL", char::from(kind));
                Err(Refusal::new("0A000", text))
            }
        };
        if let Err(refusal) = result {
            self.refuse(&refusal);
            self.skips = true;
            return self.send().await;
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.out.refuse(refusal);
        if self.status == b'T' {
            self.status = b'E';
        }
    }

    /// All statements of a text, one after another, to the first that fails.
    async fn simple(&mut self, sql: &str) -> io::Result<Result<(), Refusal>> {
        self.statements.remove("");
        self.portals.remove("");
        let statements = match self.desk.statements(sql) {
            Ok(statements) => statements,
            Err(problem) => return Ok(Err(of_problem(&problem, sql))),
        };
        if statements.is_empty() {
            self.out.bare(b'I');
        }
        for statement in &statements {
            match self.outcome(statement, Vec::new(), sql).await {
                Ok(Outcome::Done(tag)) => self.out.complete(tag),
                Ok(Outcome::Rows(answer)) => {
                    let formats = vec![Format::Text; answer.schema.fields().len()];
                    columns(&mut self.out, &answer.schema, &formats);
                    let rows = rows_of(&answer);
                    if let Err(refusal) = self.rows(&answer, &formats, (0, rows)).await? {
                        return Ok(Err(refusal));
                    }
                    self.out.complete(&format!("SELECT {rows}"));
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(()))
    }

    /// Does what a statement says, unless it is stopped.
    async fn outcome(
        &mut self,
        statement: &Statement,
        values: Vec<Parameter>,
        sql: &str,
    ) -> Result<Outcome, Refusal> {
        let ends = matches!(statement, Statement::Commit | Statement::Rollback);
        if self.status == b'E' && !ends {
            let text = "the transaction has failed: end it with ROLLBACK";
            return Err(Refusal::new("25P02", text));
        }
        let cancel = Arc::clone(&self.identity.cancel);
        let answered = async {
            match statement {
                Statement::Query(question) => self.desk.answer(question, values).await,
                Statement::Tables => self.desk.tables().await,
                Statement::Columns(name) => self.desk.columns(name),
                Statement::Other(word) => Err(DeskError::ReadOnly(word.clone())),
                _ => Ok(Desk::setting("", "")),
            }
        };
        let done = match statement {
            Statement::Setting(name) => {
                let all = SETTINGS.iter().chain(MORE_SETTINGS);
                let known = all.clone().find(|(known, _)| known.eq_ignore_ascii_case(name));
                let (name, value) = known
                    .ok_or_else(|| Refusal::new("42704", format!("there is no setting {name} to show")))?;
                return Ok(Outcome::Rows(Desk::setting(name, value)));
            }
            Statement::Set => "SET",
            Statement::Discard(tag) => tag,
            Statement::Begin => {
                self.status = b'T';
                "BEGIN"
            }
            Statement::Commit | Statement::Rollback => {
                let failed = self.status == b'E' || matches!(statement, Statement::Rollback);
                self.status = b'I';
                if failed { "ROLLBACK" } else { "COMMIT" }
            }
            _ => {
                let answer = tokio::select! {
                    answer = answered => answer.map_err(|error| of_desk(&error, sql))?,
                    () = cancel.notified() => return Err(Refusal::new("57014", "the query was stopped, as was asked for")),
                };
                answer.notices.iter().for_each(|notice| self.out.notice(notice));
                return Ok(Outcome::Rows(answer));
            }
        };
        Ok(Outcome::Done(done))
    }

    /// Writes some rows of an answer.
    async fn rows(
        &mut self,
        answer: &Answer,
        formats: &[Format],
        (from, to): (usize, usize),
    ) -> io::Result<Result<(), Refusal>> {
        let mut before = 0;
        for batch in &answer.batches {
            let (first, last) = (from.max(before), to.min(before + batch.num_rows()));
            if first < last {
                let cells =
                    batch.columns().iter().zip(formats).map(|(column, format)| Cells::new(column, *format));
                let cells: Vec<Cells> = match cells.collect() {
                    Ok(cells) => cells,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                for row in first - before..last - before {
                    let written = self.out.row(cells.len(), |column, out| cells[column].write(row, out));
                    if let Err(refusal) = written {
                        return Ok(Err(refusal));
                    }
                    if self.out.0.len() > SEND_BYTES {
                        self.send().await?;
                    }
                }
            }
            before += batch.num_rows();
        }
        Ok(Ok(()))
    }

    fn parse(&mut self, name: String, sql: &str, kinds: &[u32]) -> Result<(), Refusal> {
        let mut statements = self.desk.statements(sql).map_err(|problem| of_problem(&problem, sql))?;
        if statements.len() > 1 {
            let text = format!("{} statements in one; prepare each by itself", statements.len());
            return Err(Refusal::new("42601", text));
        }
        let named = !name.is_empty();
        if named && self.statements.contains_key(&name) {
            return Err(Refusal::new("42P05", format!("there is a statement {name} already")));
        }
        if self.statements.len() >= NAMED_MAX && !self.statements.contains_key(&name) {
            return Err(Refusal::new(
                "53400",
                format!("{NAMED_MAX} statements are there already; close some"),
            ));
        }
        let statement = statements.pop();
        let found = match &statement {
            Some(Statement::Query(question)) => question.parameters(),
            _ => &[],
        };
        // What the client says goes first where the query leaves it open.
        let kind = |at: usize| {
            let of_query = found.get(at).cloned().flatten();
            of_query.or_else(|| cell::named(*kinds.get(at)?)).unwrap_or(DataType::Utf8)
        };
        let kinds = (0..found.len()).map(kind).collect();
        self.statements.insert(name, Arc::new(Prepared { statement, kinds }));
        self.out.bare(b'1');
        Ok(())
    }

    fn bind(
        &mut self,
        portal: String,
        statement: &str,
        (formats, values): (&[Format], &[Option<bytes::Bytes>]),
        results: Vec<Format>,
    ) -> Result<(), Refusal> {
        let prepared = self.prepared(statement)?;
        if values.len() != prepared.kinds.len() {
            let text =
                format!("{} parameters for a statement that has {}", values.len(), prepared.kinds.len());
            return Err(Refusal::new("08P01", text));
        }
        let format = |formats: &[Format], at: usize| match formats {
            [] => Format::Text,
            [all] => *all,
            each => each.get(at).copied().unwrap_or(Format::Text),
        };
        let value = |(at, (value, kind)): (usize, (&Option<bytes::Bytes>, &DataType))| {
            cell::parameter(value.as_deref(), format(formats, at), kind)
        };
        let values: Result<Vec<Parameter>, Refusal> =
            values.iter().zip(&prepared.kinds).enumerate().map(value).collect();
        if self.portals.len() >= NAMED_MAX && !self.portals.contains_key(&portal) {
            return Err(Refusal::new("53400", format!("{NAMED_MAX} portals are there already; close some")));
        }
        let width = schema_of(&prepared).map_or(0, |schema| schema.fields().len());
        let formats = (0..width).map(|at| format(&results, at)).collect();
        self.portals.insert(portal, Portal { prepared, values: values?, formats, begun: None });
        self.out.bare(b'2');
        Ok(())
    }

    fn prepared(&self, name: &str) -> Result<Arc<Prepared>, Refusal> {
        let found = self.statements.get(name).map(Arc::clone);
        found.ok_or_else(|| Refusal::new("26000", format!("there is no statement {name:?}")))
    }

    fn describe(&mut self, target: Target, name: &str) -> Result<(), Refusal> {
        let (prepared, formats) = match target {
            Target::Statement => {
                let prepared = self.prepared(name)?;
                let kinds: Vec<u32> = prepared.kinds.iter().map(|kind| Kind::of(kind).id()).collect();
                self.out.parameters(&kinds);
                (prepared, Vec::new())
            }
            Target::Portal => {
                let portal = self.portals.get(name);
                let portal =
                    portal.ok_or_else(|| Refusal::new("34000", format!("there is no portal {name:?}")))?;
                (Arc::clone(&portal.prepared), portal.formats.clone())
            }
        };
        match schema_of(&prepared) {
            Some(schema) => columns(&mut self.out, &schema, &formats),
            None => self.out.bare(b'n'),
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, rows_max: usize) -> io::Result<Result<(), Refusal>> {
        let Some(mut portal) = self.portals.remove(name) else {
            return Ok(Err(Refusal::new("34000", format!("there is no portal {name:?}"))));
        };
        let Some(statement) = &portal.prepared.statement else {
            self.out.bare(b'I');
            return Ok(Ok(()));
        };
        let (answer, fetched) = match portal.begun.take() {
            Some(begun) => begun,
            None => match self.outcome(statement, std::mem::take(&mut portal.values), "").await {
                Ok(Outcome::Rows(answer)) => (answer, 0),
                Ok(Outcome::Done(tag)) => {
                    self.out.complete(tag);
                    return Ok(Ok(()));
                }
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        let rows = rows_of(&answer);
        let to = if rows_max == 0 { rows } else { rows.min(fetched + rows_max) };
        let formats = match portal.formats.is_empty() {
            true => vec![Format::Text; answer.schema.fields().len()],
            false => portal.formats.clone(),
        };
        if let Err(refusal) = self.rows(&answer, &formats, (fetched, to)).await? {
            return Ok(Err(refusal));
        }
        match to < rows {
            true => self.out.bare(b's'),
            false => self.out.complete(&format!("SELECT {}", to - fetched)),
        }
        portal.begun = Some((answer, to));
        self.portals.insert(name.to_owned(), portal);
        Ok(Ok(()))
    }
}

/// The columns of what a statement gives; nothing where it gives no rows.
fn schema_of(prepared: &Prepared) -> Option<SchemaRef> {
    match prepared.statement.as_ref()? {
        Statement::Query(question) => Some(Arc::clone(question.schema())),
        Statement::Tables => Some(Desk::tables_schema()),
        Statement::Columns(_) => Some(Desk::columns_schema()),
        Statement::Setting(name) => Some(Desk::setting(name, "").schema),
        _ => None,
    }
}

fn columns(out: &mut Out, schema: &SchemaRef, formats: &[Format]) {
    let column = |(at, field): (usize, &arrow::datatypes::FieldRef)| {
        let kind = Kind::of(field.data_type());
        let (size, modifier) = (kind.size(), kind.modifier());
        (at, kind.id(), size, modifier)
    };
    let kinds: Vec<_> = schema.fields().iter().enumerate().map(column).collect();
    let all: Vec<Column<'_>> = kinds
        .into_iter()
        .map(|(at, kind, size, modifier)| Column {
            name: schema.field(at).name(),
            kind,
            size,
            modifier,
            format: formats.get(at).copied().unwrap_or(Format::Text),
        })
        .collect();
    out.columns(&all);
}

fn rows_of(answer: &Answer) -> usize {
    answer.batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
}

/// The place of a problem in a text, in characters from 1.
fn position(problem: &SqlProblem, sql: &str) -> Option<usize> {
    let lines = sql.split_inclusive('\n').take(usize::try_from(problem.line).ok()?.checked_sub(1)?);
    let before: usize = lines.map(|line| line.chars().count()).sum();
    (!sql.is_empty()).then(|| before + usize::try_from(problem.column).unwrap_or(1))
}

fn of_problem(problem: &SqlProblem, sql: &str) -> Refusal {
    let text = problem.message.as_str();
    let code = match text {
        _ if text.starts_with("syntax") => "42601",
        _ if text.starts_with("there is no relation") || text.contains("no rows that can be asked for") => {
            "42P01"
        }
        _ if text.starts_with("column ") => "42703",
        _ if text.starts_with("there is no ") || text.starts_with("Invalid function") => "42883",
        _ if text.contains("; at most ") => "54001",
        _ if text.contains("is not taken") || text.contains("no part of a query") => "0A000",
        _ => "42000",
    };
    let (hint, position) = (problem.help.clone(), position(problem, sql));
    Refusal { code, message: problem.message.clone(), hint, position }
}

fn of_desk(error: &DeskError, sql: &str) -> Refusal {
    let code = match error {
        DeskError::Problem(problem) => return of_problem(problem, sql),
        DeskError::ReadOnly(_) => "25006",
        DeskError::NoRelation(_) => "42P01",
        DeskError::Compute(text) if text.contains("ivide by zero") => "22012",
        DeskError::Compute(_) => "22000",
        DeskError::Memory(_) => "53200",
        DeskError::Read(_) => "58000",
    };
    Refusal::new(code, error.to_string())
}

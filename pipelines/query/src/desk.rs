//! Where questions are asked: a text is read as statements, the relations that a query reads are brought up to what is committed
//! now, and the query is run over them. Any number may ask; reading is one at a time, running is not. Never enters: how answers
//! look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_engine::sql::SqlProblem;
pub use millstream_engine::sql::at_rest::Parameter;
use millstream_engine::sql::at_rest::{self, AnswerError, Question, Statement};
use millstream_worker::WorkerError;
use millstream_worker::query::{Reader, Relation, Snapshot};
use tokio::sync::{Mutex, Semaphore, oneshot};

/// What a question gave.
#[derive(Debug)]
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// What a person should know of it.
    pub notices: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The text is not as it should be.
    #[error("{0}")]
    Problem(SqlProblem),
    /// It asks for something that changes something.
    #[error(
        "{0} is not taken: what a pipeline keeps is read here, by SELECT, and changed by the pipeline alone"
    )]
    ReadOnly(String),
    /// There is no such relation.
    #[error("{0}")]
    NoRelation(String),
    /// It could not be computed.
    #[error("{0}")]
    Compute(String),
    /// It takes more memory than there is.
    #[error("{0}; give more with --memory, or ask for less at once")]
    Memory(String),
    /// What it asks for could not be read.
    #[error(transparent)]
    Read(#[from] WorkerError),
}

impl From<SqlProblem> for DeskError {
    fn from(problem: SqlProblem) -> DeskError {
        DeskError::Problem(problem)
    }
}

impl From<AnswerError> for DeskError {
    fn from(error: AnswerError) -> DeskError {
        match error {
            AnswerError::Problem(problem) => DeskError::Problem(problem),
            AnswerError::Memory(..) => DeskError::Memory(error.to_string()),
            AnswerError::Compute(text) => DeskError::Compute(text),
        }
    }
}

/// Where rows come from.
enum Ground {
    Reader(Box<Mutex<Reader>>),
    /// They are there.
    #[cfg(test)]
    Rows(at_rest::Rows),
}

/// See the module.
pub struct Desk {
    ground: Ground,
    relations: Arc<Vec<Relation>>,
    schemas: BTreeMap<String, SchemaRef>,
    /// Questions that run.
    running: Arc<Semaphore>,
}

/// How many questions run at once: more than there are processors, so that one that never lets others in holds nobody up.
const RUNNING_MAX: usize = 16;

impl Desk {
    /// Over what a reader reads.
    pub fn new(reader: Reader) -> Desk {
        let relations = Arc::clone(reader.relations());
        let known =
            relations.iter().filter_map(|r| Some((r.name.clone(), Arc::clone(r.columns.as_ref().ok()?))));
        Desk {
            schemas: known.collect(),
            relations,
            ground: Ground::Reader(Box::new(Mutex::new(reader))),
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
        }
    }

    /// Over rows that are there.
    #[cfg(test)]
    pub(crate) fn over(rows: at_rest::Rows) -> Desk {
        let schemas = rows.iter().map(|(name, rows)| (name.clone(), rows[0].schema())).collect();
        Desk {
            schemas,
            relations: Arc::default(),
            ground: Ground::Rows(rows),
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
        }
    }

    /// Reads on to what is committed now.
    async fn read(&self, names: &BTreeSet<String>) -> Result<Snapshot, WorkerError> {
        match &self.ground {
            Ground::Reader(reader) => {
                let mut reader = reader.lock().await;
                if names.is_empty() { Ok(reader.nothing()) } else { reader.read(names).await }
            }
            #[cfg(test)]
            Ground::Rows(rows) => {
                Ok(Snapshot { rows: rows.clone(), notices: Vec::new(), memory_left: 64 << 20 })
            }
        }
    }

    /// Reads a text. Threads that do have a stack of [`at_rest::STACK_BYTES`].
    pub fn statements(&self, sql: &str) -> Result<Vec<Statement>, SqlProblem> {
        at_rest::statements(sql, &self.schemas).map_err(|problem| self.explained(problem))
    }

    /// Says why something that is there cannot be asked for.
    fn explained(&self, mut problem: SqlProblem) -> SqlProblem {
        if let Some(name) = problem.message.strip_prefix("there is no relation ")
            && let Some(why) = self.why_not(name)
        {
            problem.message = format!("{name} has no rows that can be asked for: {why}");
        }
        problem
    }

    fn why_not(&self, name: &str) -> Option<&str> {
        let relation = self.relations.iter().find(|relation| relation.name == name)?;
        relation.columns.as_ref().err().map(String::as_str)
    }

    /// The answer to a query, as of now.
    pub async fn answer(&self, question: &Question, parameters: Vec<Parameter>) -> Result<Answer, DeskError> {
        let snapshot = self.read(question.reads()).await?;
        let (run, rows, memory_left) = (question.clone(), snapshot.rows, snapshot.memory_left);
        let work = async move { run.answer(&rows, parameters, memory_left).await };
        let batches = self.apart(work).await??;
        let schema = batches.first().map_or_else(|| Arc::clone(question.schema()), RecordBatch::schema);
        Ok(Answer { schema, batches, notices: snapshot.notices })
    }

    /// Runs a question on a thread of its own: some run on for long without ever letting others in, and cannot be stopped in
    /// between. So many run at once; others wait. One that nobody waits for any more ends when it lets others in.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, DeskError> {
        let broken = |why: String| DeskError::Compute(format!("running the question: {why}"));
        let permit = Arc::clone(&self.running).acquire_owned().await;
        let permit = permit.map_err(|error| broken(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broken(error.to_string()))?;
        let (mut give, take) = oneshot::channel();
        let run = move || {
            let done = runtime.block_on(async {
                tokio::select! {
                    done = work => Some(done),
                    () = give.closed() => None,
                }
            });
            drop(done.map(|done| give.send(done)));
            drop(permit);
        };
        let thread = std::thread::Builder::new().name("question".to_owned()).stack_size(at_rest::STACK_BYTES);
        thread.spawn(run).map_err(|error| broken(error.to_string()))?;
        take.await.map_err(|_| broken("its thread has ended; this is a fault of the program".to_owned()))
    }

    /// `SHOW TABLES`: everything that the pipeline has, with how many rows there are of it; what has none, with the reason.
    pub async fn tables(&self) -> Result<Answer, DeskError> {
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        for relation in self.relations.iter() {
            let (count, note) = match &relation.columns {
                Err(why) => (None, Some(why.clone())),
                Ok(_) => {
                    let read = self.read(&BTreeSet::from([relation.name.clone()])).await;
                    match read {
                        Ok(snapshot) => {
                            let rows = snapshot.rows.values().flatten().map(RecordBatch::num_rows);
                            (Some(rows.sum::<usize>() as i64), snapshot.notices.into_iter().next())
                        }
                        Err(error @ WorkerError::Transient(_)) => return Err(error.into()),
                        Err(error) => (None, Some(error.to_string())),
                    }
                }
            };
            rows.push(count);
            notes.push(note);
        }
        let texts = |of: fn(&Relation) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(self.relations.iter().map(of)))
        };
        let columns = vec![
            texts(|relation| &relation.name),
            texts(|relation| relation.kind.word()),
            Arc::new(Int64Array::from(rows)),
            texts(|relation| &relation.from),
            Arc::new(StringArray::from(notes)),
        ];
        Ok(made(Desk::tables_schema(), columns))
    }

    /// The columns of [`Desk::tables`].
    pub fn tables_schema() -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let rows = Field::new("rows", DataType::Int64, true);
        Arc::new(Schema::new(vec![text("name"), text("kind"), rows, text("from"), text("note")]))
    }

    /// The columns of [`Desk::columns`].
    pub fn columns_schema() -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        Arc::new(Schema::new(vec![text("column"), text("type"), text("nullable")]))
    }

    /// `DESCRIBE name`.
    pub fn columns(&self, name: &str) -> Result<Answer, DeskError> {
        let Some(schema) = self.schemas.get(name) else {
            let text = match self.why_not(name) {
                Some(why) => format!("{name} has no rows that can be asked for: {why}"),
                None => format!(
                    "there is no relation {name}; there are: {}",
                    self.schemas.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
                ),
            };
            return Err(DeskError::NoRelation(text));
        };
        let fields = schema.fields().iter();
        let names: ArrayRef =
            Arc::new(StringArray::from_iter_values(fields.clone().map(|field| field.name())));
        let kinds = fields.clone().map(|field| field.data_type().to_string());
        let kinds: ArrayRef = Arc::new(StringArray::from_iter_values(kinds));
        let nullable = fields.map(|field| if field.is_nullable() { "yes" } else { "no" });
        let nullable: ArrayRef = Arc::new(StringArray::from_iter_values(nullable));
        Ok(made(Desk::columns_schema(), vec![names, kinds, nullable]))
    }

    /// One row of one text, which is what a setting is.
    pub fn setting(name: &str, value: &str) -> Answer {
        let schema = Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]));
        made(schema, vec![Arc::new(StringArray::from_iter_values([value]))])
    }
}

fn made(schema: SchemaRef, columns: Vec<ArrayRef>) -> Answer {
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns as the schema says");
    Answer { schema, batches: vec![batch], notices: Vec::new() }
}

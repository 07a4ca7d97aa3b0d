//! What a pipeline has committed, read as relations: the results that its operators keep, from their changelogs, and its tables.
//! It reads topics and files alone, as a member of no group, commits nothing, and needs no worker: so the pipeline may run on
//! any number of them, or on none. What was read stays, and is followed from there when it is asked for again. Never enters:
//! SQL (`millstream_engine::sql::at_rest`), how answers are shown.

mod cut;
mod operator;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_client::{Admin, Cluster};
use millstream_engine::sql::at_rest::Rows;
use millstream_engine::stage::view::{Kept, View};
use millstream_plan::{Job, StageKind};
use millstream_spec::Pipeline;
use millstream_types::MemoryBudget;

use crate::assemble::stage_spec;
use crate::connectors::{Maker, WallClock};
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::formats;
use crate::load::Opened;
use crate::restore;
use crate::savepoint::Subject;
use crate::schemas::Columns;
use crate::snapshots::reading::Marked;
use crate::snapshots::{self, Snapshots};
use crate::tables;
use crate::tables::topic::TopicTable;
use operator::Operator;
use table::{Source, Table};

/// How often reading begins again where changelogs are deleted meanwhile.
const TRIES_MAX: usize = 20;

/// Something of a pipeline that is asked for by its id in the file.
#[derive(Clone, Debug)]
pub struct Relation {
    /// The id.
    pub name: String,
    /// What kind of thing it is.
    pub kind: Kind,
    /// Where its rows are read from: a topic, or the table's type.
    pub from: String,
    /// Its columns; or why it has no rows that can be asked for.
    pub columns: Result<SchemaRef, String>,
}

/// What kind of thing a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Windows that have not closed, as they would be sent now.
    Windows,
    /// Sessions that are open, likewise.
    Sessions,
    /// Groups that are kept up to date for ever.
    Groups,
    /// The pairs of a join that is kept up to date.
    Pairs,
    /// The keys that repeats are known by.
    Keys,
    /// A table.
    Table,
    /// A source or a transform without such rows.
    Stream,
}

impl Kind {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Windows => "windows",
            Kind::Sessions => "sessions",
            Kind::Groups => "groups",
            Kind::Pairs => "pairs",
            Kind::Keys => "keys",
            Kind::Table => "table",
            Kind::Stream => "stream",
        }
    }
}

/// The rows of some relations, as of one reading.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By name.
    pub rows: Rows,
    /// What a person should know of them.
    pub notices: Vec<String>,
    /// How many bytes are left of the memory that there is.
    pub memory_left: usize,
}

/// Reads a pipeline's relations.
pub struct Reader {
    cluster: Arc<Cluster>,
    memory: MemoryBudget,
    relations: Arc<Vec<Relation>>,
    operators: BTreeMap<String, Operator>,
    tables: BTreeMap<String, Table>,
    positions: Arc<str>,
    snapshots: Option<Arc<Snapshots>>,
}

impl Reader {
    /// Of an opened pipeline without faults, on its cluster. Nothing is read yet but the columns of files. What is held is at
    /// most the budget.
    pub async fn open(
        opened: &Opened,
        cluster: &Arc<Cluster>,
        memory: &MemoryBudget,
    ) -> Result<Reader, WorkerError> {
        let Some((pipeline, job)) = &opened.parts else {
            return Err(WorkerError::Setup("the pipeline has faults and is not read".to_owned()));
        };
        let maker = Maker::new(pipeline, &opened.root, Arc::new(WallClock::new()), 0);
        let maker = maker.map_err(|d| WorkerError::Setup(d.message))?;
        let formats = maker.formats().map_err(formats::refused)?;
        let mut reader = Reader {
            cluster: Arc::clone(cluster),
            memory: memory.clone(),
            relations: Arc::default(),
            operators: BTreeMap::new(),
            tables: BTreeMap::new(),
            positions: Subject { pipeline, job }.positions(),
            snapshots: snapshots::open(pipeline, &maker)?,
        };
        let (mut relations, mut columns) = (Vec::new(), BTreeMap::new());
        for (id, table) in &pipeline.tables {
            let setup = |d: Box<millstream_spec::Diagnostic>| WorkerError::Setup(d.message);
            let schema = tables::columns(pipeline, table, &maker).await.map_err(setup)?;
            columns.insert(id.clone(), Arc::clone(&schema));
            let mut relation = Relation {
                name: id.clone(),
                kind: Kind::Table,
                from: table.type_name.value.clone(),
                columns: Ok(Arc::clone(&schema)),
            };
            if maker.asks(table).map_err(setup)?.is_some() {
                let why = "it is asked for the rows of keys as they come, and nobody has all of them";
                relation.columns = Err(why.to_owned());
            } else if let Some(topic) = job.followed.get(id) {
                relation.from = format!("topic {topic}");
                let followed = TopicTable {
                    id: id.as_str().into(),
                    topic: topic.as_str().into(),
                    partitions: job.topics.get(topic).map_or(1, |t| t.partitions),
                    schema: Arc::clone(&schema),
                    key: table.key.iter().map(|k| k.value.clone()).collect(),
                    frozen: tables::is_frozen(pipeline, table),
                    format: formats.of(topic),
                    fetcher: formats.fetcher(topic),
                };
                let table = Table::new(Source::Topic { table: Box::new(followed), reader: None }, schema);
                reader.tables.insert(id.clone(), table);
            } else {
                let file = maker.table(table).map_err(setup)?;
                reader.tables.insert(id.clone(), Table::new(Source::Whole(file), schema));
            }
            relations.push(relation);
        }
        let known = Columns::new((pipeline, job), &columns, &formats);
        reader.add_operators((pipeline, job), &known, &mut relations)?;
        relations.extend(streams(pipeline, &relations));
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        reader.relations = Arc::new(relations);
        Ok(reader)
    }

    fn add_operators(
        &mut self,
        (pipeline, job): (&Pipeline, &Job),
        columns: &Columns<'_>,
        relations: &mut Vec<Relation>,
    ) -> Result<(), WorkerError> {
        for stage in job.stages.iter().filter(|s| s.kind == StageKind::Process) {
            let spec = stage_spec(columns, stage, true)?;
            let view = View::new(spec.clone()).map_err(|problems| {
                WorkerError::Setup(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            })?;
            for found in view.readable() {
                if !pipeline.transforms.contains_key(&found.name) {
                    continue;
                }
                let planned = stage.operators.iter().find(|o| o.id.name == found.name);
                let state = planned.and_then(|operator| operator.state.as_ref());
                let unread = found.tables.iter().find(|table| !self.tables.contains_key(*table));
                let kind = match found.kept {
                    Ok(Kept::Windows) => Kind::Windows,
                    Ok(Kept::Sessions) => Kind::Sessions,
                    Ok(Kept::Groups) => Kind::Groups,
                    Ok(Kept::Pairs) => Kind::Pairs,
                    Ok(Kept::Keys) => Kind::Keys,
                    Err(_) => Kind::Stream,
                };
                let columns = match (found.kept, state, unread) {
                    (Err(why), ..) => Err(why.to_owned()),
                    (Ok(_), None, _) => Err("it keeps nothing on the broker".to_owned()),
                    (Ok(_), Some(_), Some(table)) => Err(format!(
                        "its results are joined with {table}, which is asked for the rows of keys as they come"
                    )),
                    (Ok(_), Some(state), None) => {
                        let topic = (state.changelog.as_str().into(), state.changelog_partitions);
                        let operator = Operator::new(spec.clone(), &found, topic)?;
                        self.operators.insert(found.name.clone(), operator);
                        Ok(found.schema)
                    }
                };
                let from = state.map_or_else(|| "-".to_owned(), |state| format!("topic {}", state.changelog));
                relations.push(Relation { name: found.name, kind, from, columns });
            }
        }
        Ok(())
    }

    /// All relations, by name, with those that cannot be asked for.
    pub fn relations(&self) -> &Arc<Vec<Relation>> {
        &self.relations
    }

    /// Reads on to what is committed now, and gives the rows of these relations.
    pub async fn read(&mut self, names: &BTreeSet<String>) -> Result<Snapshot, WorkerError> {
        let mut snapshot = Snapshot::default();
        let mut tries = 0;
        while !self.read_once(names, &mut snapshot).await? {
            snapshot = Snapshot::default();
            tries += 1;
            if tries == TRIES_MAX {
                return Err(WorkerError::Transient(format!(
                    "changelogs were written anew, and what was before deleted, each of {TRIES_MAX} times while they were read; ask again, or raise `defaults.snapshot_after`"
                )));
            }
        }
        let mut given: usize =
            snapshot.rows.values().flatten().map(arrow::array::RecordBatch::get_array_memory_size).sum();
        for name in names {
            let room = self.room(self.held() + given, name)?;
            let Some(operator) = self.operators.get_mut(name) else { continue };
            let rows = operator.rows(name, room)?;
            given += rows.iter().map(arrow::array::RecordBatch::get_array_memory_size).sum::<usize>();
            snapshot.rows.insert(name.clone(), rows);
        }
        snapshot.memory_left = self.limit().saturating_sub(self.held() + given);
        Ok(snapshot)
    }

    /// Brings operators and tables up to one cut; whether all of it was there to its end. A changelog that is written anew is deleted
    /// to where it begins, which may lie behind the cut.
    async fn read_once(
        &mut self,
        names: &BTreeSet<String>,
        snapshot: &mut Snapshot,
    ) -> Result<bool, WorkerError> {
        let topics = Admin::new(&self.cluster).list_topics().await?;
        let mut parts = Vec::new();
        for (name, operator) in self.operators.iter_mut().filter(|(name, _)| names.contains(*name)) {
            operator.check(name, &topics)?;
            parts.extend(operator.all_partitions());
        }
        let begins = restore::starts(&self.cluster, &parts).await?;
        // Before the cut: what they name is as old as that.
        let marked = Marked::new(Arc::clone(&self.positions), self.snapshots.clone());
        if !parts.is_empty() {
            marked.look(&self.cluster).await?;
        }
        let cut = cut::cut(&self.cluster, &parts).await?;
        if !cut.is_one_instant {
            snapshot.notices.push(
                "commits were under way all the time: what several changelogs say may be of instants a commit apart".to_owned(),
            );
        }
        // What operators' rows are joined with is read too.
        let joined = names.iter().filter_map(|name| self.operators.get(name)).flat_map(Operator::tables);
        let tables: BTreeSet<String> = names.iter().chain(joined).cloned().collect();
        for name in &tables {
            let Some(table) = self.tables.get(name) else { continue };
            let others = self.held() - table.size();
            let room = self.room(others, name)?;
            if let Some(table) = self.tables.get_mut(name) {
                table.check(name, &topics)?;
                table
                    .read(name, &self.cluster, room)
                    .await
                    .map_err(|error| error.doing(&format!("reading table {name}")))?;
            }
        }
        for name in names {
            if let Some(table) = self.tables.get_mut(name) {
                snapshot.rows.insert(name.clone(), vec![table.rows()?]);
            }
            let Some(operator) = self.operators.get(name) else { continue };
            let others = self.held() - operator.size();
            let room = self.room(others, name)?;
            let Some(operator) = self.operators.get_mut(name) else { continue };
            let Some(passed_over) =
                operator.read(name, &self.cluster, (&begins, &cut.ends), &marked, room).await?
            else {
                return Ok(false);
            };
            if passed_over > 0 {
                snapshot.notices.push(format!(
                    "{name}: {passed_over} records are of another definition of it, and were passed over"
                ));
            }
            for table in operator.tables().cloned().collect::<Vec<_>>() {
                if let Some(rows) = self.tables.get_mut(&table) {
                    operator.load_table(&table, &rows.rows()?)?;
                }
            }
        }
        let now = restore::starts(&self.cluster, &parts).await?;
        let moved: BTreeSet<&TopicPartition> =
            parts.iter().filter(|part| begins.get(*part) != now.get(*part)).collect();
        for operator in self.operators.values_mut() {
            if operator.all_partitions().iter().any(|part| moved.contains(part)) {
                operator.forget()?;
            }
        }
        Ok(moved.is_empty())
    }

    /// What there is for a query that reads nothing.
    pub fn nothing(&self) -> Snapshot {
        let memory_left = self.limit().saturating_sub(self.held());
        Snapshot { memory_left, ..Snapshot::default() }
    }

    fn limit(&self) -> usize {
        usize::try_from(self.memory.limit_bytes()).unwrap_or(usize::MAX)
    }

    fn held(&self) -> usize {
        let operators = self.operators.values().map(Operator::size);
        operators.chain(self.tables.values().map(Table::size)).sum()
    }

    /// How much a relation may hold when others hold so much.
    fn room(&self, others: usize, name: &str) -> Result<usize, WorkerError> {
        match self.limit().checked_sub(others) {
            Some(room) if room > 0 => Ok(room),
            _ => Err(too_large(name, self.limit())),
        }
    }
}

/// A relation that memory has no room for.
fn too_large(name: &str, bytes_max: usize) -> WorkerError {
    WorkerError::Setup(format!(
        "reading {name}: it takes more than the {} MiB that there are for it; give more with --memory, or ask for less at once",
        bytes_max >> 20
    ))
}

/// The sources and transforms that nothing is known of yet: rows pass through them.
fn streams(pipeline: &Pipeline, known: &[Relation]) -> Vec<Relation> {
    let ids = pipeline.sources.keys().map(|id| (id, "rows pass through it, and are not kept for questions"));
    let transforms =
        pipeline.transforms.keys().map(|id| (id, "it keeps nothing: its rows go on as they come"));
    let is_new = |(id, _): &(&String, &str)| !known.iter().any(|relation| relation.name == **id);
    let found = ids.chain(transforms).filter(is_new);
    found
        .map(|(id, why)| Relation {
            name: id.clone(),
            kind: Kind::Stream,
            from: "-".to_owned(),
            columns: Err(why.to_owned()),
        })
        .collect()
}

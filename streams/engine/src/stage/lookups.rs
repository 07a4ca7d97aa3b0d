//! Tables that are not loaded but asked for the rows of a key when a row is to be joined with them. Before rows are run, their way
//! to the joins is gone once without leaving a trace, to find the keys that they will ask for; what is found for those, or that
//! nothing is, is handed in, and kept for a while. Never enters: who is asked, and how.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion_physical_expr::expressions::Column;
use hashbrown::{HashMap, HashSet};
use millstream_types::Millis;
use std::sync::Arc;

use super::{Running, Stage};
use crate::error::StageError;
use crate::op::Step;
use crate::op::chunk::Chunk;
use crate::op::faults::{Faults, evaluate_fit};
use crate::op::join::TableJoin;
use crate::op::row_key::RowKeys;
use crate::sql::Query;

/// How the rows of a table that is asked are kept.
#[derive(Clone, Debug)]
pub struct LookupSpec {
    /// The columns that it is asked by.
    pub key: Vec<String>,
    /// For how long what was found counts, in milliseconds.
    pub keep_ms: i64,
    /// How many keys are kept at most, besides those of the rows that wait.
    pub keys_max: usize,
}

/// What a table has to be asked before rows that wait can be run.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The table.
    pub table: String,
    /// Keys, each once: the columns that it is asked by, under their names in the table.
    pub keys: RecordBatch,
}

/// A table that is asked.
struct Asked {
    spec: LookupSpec,
    key_schema: SchemaRef,
    /// When each key was asked for; those whose time has come are still here until others come.
    known: HashMap<Bytes, Millis>,
    /// The same in the order in which they were asked for.
    order: VecDeque<(Millis, Bytes)>,
}

impl Asked {
    fn knows(&self, key: &[u8], now: Millis) -> bool {
        self.known.get(key).is_some_and(|at| now < at.saturating_add(self.spec.keep_ms))
    }

    /// Keys that are not kept any longer.
    fn forget(&mut self, now: Millis) -> Vec<Bytes> {
        let mut gone = Vec::new();
        while let Some((at, key)) = self.order.front() {
            // One that was asked for again stands further back too.
            let is_current = self.known.get(key) == Some(at);
            let is_over =
                now >= at.saturating_add(self.spec.keep_ms) || self.known.len() > self.spec.keys_max;
            if is_current && !is_over {
                break;
            }
            if is_current {
                self.known.remove(key);
                gone.push(key.clone());
            }
            self.order.pop_front();
        }
        gone
    }
}

/// Rows that wait until everything they ask for is known.
pub(super) type Waiting = Option<(Chunk, Int64Array)>;

/// The tables of a stage that are asked.
#[derive(Default)]
pub(super) struct Lookups {
    tables: BTreeMap<String, Asked>,
    /// Of each source, what was gathered for the next turn.
    pub(super) gathered: Vec<Waiting>,
    /// Everything that the gathered rows ask for is known.
    is_ready: bool,
}

impl Lookups {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The gathered rows, if they can be run.
    pub(super) fn take(&mut self) -> Option<Vec<Waiting>> {
        let is_ready = std::mem::take(&mut self.is_ready);
        is_ready.then(|| std::mem::take(&mut self.gathered))
    }

    /// What the first join on the way of a chunk asks for and does not know; or the rows behind all of them, if any. Rows for which
    /// something cannot be computed ask for nothing: when they are run, they are found.
    fn follow<'a>(
        &self,
        steps: impl Iterator<Item = &'a Step>,
        mut chunk: Chunk,
        now: Millis,
    ) -> Result<Found, StageError> {
        for step in steps {
            if let Step::Join(join) = step
                && let Some(asked) = self.tables.get(&join.table)
                && let Some(keys) = asked.unknown(join, &chunk, now)?
            {
                return Ok(Found::Unknown(Wanted { table: join.table.clone(), keys }));
            }
            match Chunk::together(&step.run_fit(&chunk, &mut Faults::new())?)? {
                Some(rows) => chunk = rows,
                None => return Ok(Found::Rows(None)),
            }
        }
        Ok(Found::Rows(Some(Box::new(chunk))))
    }
}

/// Keys as bytes.
fn bytes_of(columns: &[ArrayRef]) -> Vec<Bytes> {
    let (keys, mut bytes) = (RowKeys::new(columns), Vec::new());
    let rows = 0..columns.first().map_or(0, |column| column.len());
    let each = rows.map(|row| {
        keys.write(row, &mut bytes);
        Bytes::copy_from_slice(&bytes)
    });
    each.collect()
}

enum Found {
    Unknown(Wanted),
    Rows(Option<Box<Chunk>>),
}

/// Rows of a table that is asked, for some of the keys that were asked for, that cannot be used.
#[derive(Clone, Debug)]
pub struct Unfit {
    /// Their keys, under their names in the table.
    pub keys: RecordBatch,
    /// Of each, what is wrong with it.
    pub why: Vec<String>,
}

impl Asked {
    /// The keys of a chunk's rows that are not known, each once. A row with a null in its key meets nothing.
    fn unknown(
        &self,
        join: &TableJoin,
        chunk: &Chunk,
        now: Millis,
    ) -> Result<Option<RecordBatch>, StageError> {
        let by = asked_by(join, &self.spec.key).expect("checked when the table was declared");
        let exprs: Vec<_> = by.iter().map(|at| Arc::clone(&join.stream_keys[*at])).collect();
        let (columns, _) = evaluate_fit(&exprs, &chunk.batch, |_, _| {})?;
        let keys = RowKeys::new(&columns);
        let (mut rows, mut seen, mut bytes) = (Vec::new(), HashSet::new(), Vec::new());
        for row in (0..columns.first().map_or(0, |column| column.len())).filter(|row| !keys.any_null(*row)) {
            keys.write(row, &mut bytes);
            if !self.knows(&bytes, now) && seen.insert(bytes.clone()) {
                rows.push(row as u32);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let rows = UInt32Array::from(rows);
        let taken = columns.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?;
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.key_schema), taken)?))
    }
}

/// Where the join's keys have those that a table is asked by; the reason where the table cannot be asked for this join.
fn asked_by(join: &TableJoin, key: &[String]) -> Result<Vec<usize>, String> {
    // The table's column that one of the join's is, unchanged.
    let column_of = |at: usize| -> Option<&str> {
        let mut at = join.table_keys[at].downcast_ref::<Column>()?.index();
        for step in join.table_steps.iter().rev() {
            at = match step {
                Step::Filter(_) => at,
                Step::Project { exprs, .. } => exprs.get(at)?.downcast_ref::<Column>()?.index(),
                Step::Scan { columns, .. } => *columns.get(at)?,
                _ => return None,
            };
        }
        join.table_schema.fields().get(at).map(|field| field.name().as_str())
    };
    let place = |name: &String| (0..join.table_keys.len()).find(|at| column_of(*at) == Some(name.as_str()));
    key.iter().map(place).collect::<Option<Vec<usize>>>().ok_or_else(|| {
        format!(
            "{} is asked for rows by its key ({}), and the join does not compare each of these columns, as it is, with a value of the same type; write ON {}, with a CAST on the other side where it needs one",
            join.table,
            key.join(", "),
            key.iter().map(|column| format!("{}.{column} = …", join.table)).collect::<Vec<_>>().join(" AND ")
        )
    })
}

/// The reason why a query cannot ask a table; `reads_rows`: its input is rows as they come, not what a commit gives.
fn check_query(query: &Query, table: &str, key: &[String], reads_rows: bool) -> Result<(), String> {
    let joins = |step: &&Step| matches!(step, Step::Join(join) if join.table == table);
    let mut after = Vec::new();
    query.closed().iter().for_each(|closed| closed.steps(&mut after));
    let before = query.branches().iter().flat_map(|branch| &branch.before);
    let mut before = before.filter(joins).peekable();
    if after.iter().any(joins) || (before.peek().is_some() && !reads_rows) {
        return Err(format!(
            "{table} is asked for rows by its key, which rows can do as they come, and not the results of windows; join it before the window, or publish the results to a topic and join it there"
        ));
    }
    before.try_for_each(|step| match step {
        Step::Join(join) => asked_by(join, key).map(drop),
        _ => Ok(()),
    })
}

impl Stage {
    /// Declares that a table is not loaded, but asked for the rows of keys; before the first rows. The error says which operator
    /// joins it in a way in which it cannot be asked, and why.
    pub fn ask(&mut self, table: &str, spec: LookupSpec) -> Result<(), (String, String)> {
        let mut schema = None;
        for at in 0..self.operators.len() {
            let Running::Sql { query, .. } = &self.operators[at].running else { continue };
            let fired = |node: &usize| self.gives_with_commits(*node);
            let reads_rows = !self.operators[at].inputs.iter().any(fired);
            let name = || self.operators[at].name.to_string();
            check_query(query, table, &spec.key, reads_rows).map_err(|why| (name(), why))?;
            let joins = query.branches().iter().flat_map(|branch| &branch.before);
            let of_table = |step: &Step| match step {
                Step::Join(join) if join.table == table => Some(Arc::clone(&join.table_schema)),
                _ => None,
            };
            schema = schema.or(joins.filter_map(of_table).next());
        }
        // One that no query joins is never asked.
        let Some(schema) = schema else { return Ok(()) };
        let fields = spec.key.iter().map(|name| schema.field_with_name(name).cloned());
        let fields: Vec<_> =
            fields.collect::<Result<_, _>>().map_err(|e| (table.to_owned(), e.to_string()))?;
        let asked = Asked {
            spec,
            key_schema: Arc::new(Schema::new(fields)),
            known: HashMap::new(),
            order: VecDeque::new(),
        };
        self.lookups.tables.insert(table.to_owned(), asked);
        let none = RecordBatch::new_empty(schema);
        let key = self.lookups.tables[table].spec.key.clone();
        self.each_join(table, |join| {
            join.asked_by = asked_by(join, &key).expect("checked just above");
            join.load(&none).map(drop)
        })
        .map_err(|e| (table.to_owned(), e.to_string()))
    }

    /// Whether rows of a node come with a commit.
    fn gives_with_commits(&self, node: usize) -> bool {
        let Some(operator) = self.operator_of(node) else { return false };
        let windowed = matches!(&operator.running, Running::Sql { query, .. } if query.is_windowed());
        windowed || operator.inputs.iter().any(|input| self.gives_with_commits(*input))
    }

    /// What a table has to be asked before the rows that wait can be run, if anything: ask it, hand the rows in with
    /// [`Stage::answer`], and call this again, until nothing is wanted. Only then may a turn come, a commit, or an end; and no
    /// more rows between. Nothing to do where no table is asked.
    pub fn wanted(&mut self, now: Millis) -> Result<Option<Wanted>, StageError> {
        self.let_go()?;
        if self.lookups.is_empty() {
            return Ok(None);
        }
        self.lookups.is_ready = false;
        if self.lookups.gathered.is_empty() {
            // What the rows of the last turn asked for may go.
            for table in self.lookups.tables.keys().cloned().collect::<Vec<_>>() {
                let asked = self.lookups.tables.get_mut(&table).expect("a table's own name");
                let gone = asked.forget(now);
                let none = |join: &mut TableJoin| {
                    let none = RecordBatch::new_empty(Arc::clone(&join.table_schema));
                    join.change(&none, &[], &gone).map(drop)
                };
                if !gone.is_empty() {
                    self.each_join(&table, none)?;
                }
            }
            for source in &mut self.sources {
                self.lookups.gathered.push(source.gather(now, &mut self.out.rejected)?);
            }
        }
        for at in 0..self.sources.len() {
            if let Some((chunk, _)) = &self.lookups.gathered[at]
                && let Some(wanted) = self.wanted_by(at, chunk.clone(), now)?
            {
                return Ok(Some(wanted));
            }
        }
        self.lookups.is_ready = true;
        Ok(None)
    }

    /// What rows of a source will ask for, on all their ways, as far as those lead as they come.
    fn wanted_by(&self, source: usize, chunk: Chunk, now: Millis) -> Result<Option<Wanted>, StageError> {
        let mut nodes: Vec<Vec<Chunk>> = vec![Vec::new(); self.sources.len()];
        nodes[source].push(chunk);
        for operator in &self.operators {
            let mut given = Vec::new();
            for (branch, node) in operator.inputs.iter().enumerate() {
                for chunk in nodes[*node].iter().filter(|chunk| chunk.rows() > 0) {
                    match &operator.running {
                        // It lets through some of them.
                        Running::Dedupe(_) => given.push(chunk.clone()),
                        Running::Sql { query, .. } => {
                            match self.lookups.follow(query.steps_of(branch), chunk.clone(), now)? {
                                Found::Unknown(wanted) => return Ok(Some(wanted)),
                                Found::Rows(Some(rows)) if !query.is_windowed() => given.push(*rows),
                                Found::Rows(_) => {}
                            }
                        }
                    }
                }
            }
            nodes.push(given);
        }
        Ok(None)
    }

    /// Hands in what a table has for the keys that were asked for, which takes the place of what was known of them; keys without a
    /// row are known to have none. Rows of other keys are passed over: a database may find keys equal whose bytes are not.
    pub fn answer(&mut self, wanted: &Wanted, rows: &RecordBatch, now: Millis) -> Result<(), StageError> {
        let unknown =
            || StageError::Unknown { kind: "table", name: wanted.table.clone(), known: String::new() };
        let asked = self.lookups.tables.get_mut(&wanted.table).ok_or_else(unknown)?;
        let mut open: HashSet<Bytes> = bytes_of(wanted.keys.columns()).into_iter().collect();
        let schema = rows.schema();
        let columns = asked.spec.key.iter().map(|name| Ok(Arc::clone(rows.column(schema.index_of(name)?))));
        let mut ids = bytes_of(&columns.collect::<Result<Vec<ArrayRef>, arrow::error::ArrowError>>()?);
        let asked_for: BooleanArray = ids.iter().map(|id| Some(open.contains(id))).collect();
        ids.retain(|id| open.contains(id));
        let rows = &filter_record_batch(rows, &asked_for)?;
        for key in &open {
            asked.known.insert(key.clone(), now);
            asked.order.push_back((now, key.clone()));
        }
        for id in &ids {
            open.remove(id);
        }
        let gone: Vec<Bytes> = open.into_iter().collect();
        self.each_join(&wanted.table, |join| {
            for (row, error) in join.change(rows, &ids, &gone)? {
                join.refused.insert(ids[row].clone(), error.to_string().into());
            }
            Ok(())
        })
    }

    /// Behind [`Stage::answer`]: what the table has for some of the keys cannot be used. Rows that ask for one of these fail, until
    /// it is asked for again.
    pub fn refuse(&mut self, wanted: &Wanted, unfit: &Unfit) -> Result<(), StageError> {
        let asked_for: HashSet<Bytes> = bytes_of(wanted.keys.columns()).into_iter().collect();
        let ids = bytes_of(unfit.keys.columns());
        self.each_join(&wanted.table, |join| {
            for (id, why) in ids.iter().zip(&unfit.why).filter(|(id, _)| asked_for.contains(*id)) {
                join.refused.insert(id.clone(), why.as_str().into());
            }
            Ok(())
        })
    }
}

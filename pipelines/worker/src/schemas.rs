//! The columns of a stream: declared in the file, or what the queries give that publish it. Never enters: how columns
//! are written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::stage::Stage;
use millstream_plan::Job;
use millstream_spec::Pipeline;
use millstream_spec::ast::{Operator, Transform};
use millstream_spec::flow::Flow;
use millstream_spec::replaced::{divides, replaced};

use crate::assemble::stage_spec;
use crate::error::WorkerError;
use crate::formats::Formats;
use crate::schema::arrow_schema;

/// Finds columns, each stream's once: queries behind queries would else be planned as often as there are ways to them.
pub struct Columns<'a> {
    /// The spec.
    pub pipeline: &'a Pipeline,
    /// The plan.
    pub job: &'a Job,
    /// The columns of tables, by id.
    pub tables: &'a BTreeMap<String, SchemaRef>,
    /// What records are written in.
    pub formats: &'a Formats,
    /// What was found.
    found: RefCell<BTreeMap<String, SchemaRef>>,
    known: RefCell<BTreeMap<String, Option<Vec<String>>>>,
}

impl<'a> Columns<'a> {
    /// Nothing is known yet.
    pub fn new(
        (pipeline, job): (&'a Pipeline, &'a Job),
        tables: &'a BTreeMap<String, SchemaRef>,
        formats: &'a Formats,
    ) -> Columns<'a> {
        Columns { pipeline, job, tables, formats, found: RefCell::default(), known: RefCell::default() }
    }

    /// The columns of a source, a transform, or the topic of a topic transform.
    pub fn of(&self, stream: &str) -> Result<SchemaRef, WorkerError> {
        if let Some(known) = self.found.borrow().get(stream) {
            return Ok(Arc::clone(known));
        }
        let columns = self.find(stream)?;
        self.found.borrow_mut().insert(stream.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }

    fn find(&self, stream: &str) -> Result<SchemaRef, WorkerError> {
        if let Some(schema) = Flow::new(self.pipeline).schema(stream) {
            return Ok(arrow_schema(schema));
        }
        let transform = self.pipeline.transforms.get(stream);
        if let Some(Operator::Topic(_)) = transform.map(|t| &t.op) {
            return self.published(stream);
        }
        let none = || {
            WorkerError::Setup(format!(
                "{stream:?} has no schema; say `schema` at its source or `output` at its function"
            ))
        };
        self.built(stream)?.and_then(|stage| stage.schema(stream)).ok_or_else(none)
    }

    /// Whether records of a stream, in JSON, may have no fields but its columns.
    pub fn is_frozen(&self, stream: &str) -> bool {
        Flow::new(self.pipeline).schema(stream).is_some_and(|schema| schema.frozen)
    }

    /// The columns that the rows of a topic are known by which a stage reads, where they take the place of each other.
    pub fn latest_by(&self, stream: &str) -> Result<Option<Vec<String>>, WorkerError> {
        if replaced(self.pipeline, stream).is_none() {
            return Ok(None);
        }
        self.known_by(stream)?.map(Some).ok_or_else(|| {
            let inputs = self.pipeline.transforms.get(stream).map_or(&[][..], |t| &t.inputs);
            let of = inputs.first().map_or(stream, |input| &input.value);
            WorkerError::Setup(format!(
                "rows of {stream:?} take the place of each other, and what those of {of:?} are known by does not all come out of it: select each column of its GROUP BY, which has no sets"
            ))
        })
    }

    /// The columns that the rows of a stream are known by, where they take the place of each other and all of these come out: each row
    /// takes the place of the one before it that has the same.
    pub fn known_by(&self, stream: &str) -> Result<Option<Vec<String>>, WorkerError> {
        if let Some(known) = self.known.borrow().get(stream) {
            return Ok(known.clone());
        }
        let found = self.find_known_by(stream)?;
        self.known.borrow_mut().insert(stream.to_owned(), found.clone());
        Ok(found)
    }

    fn find_known_by(&self, stream: &str) -> Result<Option<Vec<String>>, WorkerError> {
        if replaced(self.pipeline, stream).is_none() {
            return Ok(None);
        }
        if let Some(read) = self.pipeline.sources.get(stream).and_then(|source| source.topic.as_ref()) {
            let topic = self.pipeline.topics.get(&read.topic.value);
            return Ok(topic.map(|topic| topic.key.iter().map(|key| key.value.clone()).collect()));
        }
        match self.pipeline.transforms.get(stream) {
            Some(transform @ Transform { op: Operator::Topic(op), inputs, .. }) => match inputs.as_slice() {
                [input] => {
                    let mut known = self.known_by(&input.value)?;
                    let topic = self
                        .pipeline
                        .topics
                        .get(&op.topic.value)
                        .filter(|_| divides(self.pipeline, transform));
                    // Rows that move are known by where they lie too.
                    if let (Some(known), Some(topic)) = (&mut known, topic) {
                        for key in &topic.key {
                            if !known.contains(&key.value) {
                                known.push(key.value.clone());
                            }
                        }
                    }
                    Ok(known)
                }
                _ => Ok(None),
            },
            _ => Ok(self.built(stream)?.and_then(|stage| stage.latest_by(stream))),
        }
    }

    /// The stage in which a transform runs, where there is one.
    fn built(&self, transform: &str) -> Result<Option<Stage>, WorkerError> {
        let Some((stage, _)) = self.job.operator(transform) else { return Ok(None) };
        let built = Stage::build(stage_spec(self, stage, true)?).map_err(|problems| {
            WorkerError::Setup(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        Ok(Some(built))
    }

    /// The columns of a topic, which all that publish it have.
    fn published(&self, topic: &str) -> Result<SchemaRef, WorkerError> {
        let mut known: Option<(SchemaRef, &str)> = None;
        for input in &self.pipeline.transforms[topic].inputs {
            let columns = self.of(&input.value)?;
            match &known {
                None => known = Some((columns, &input.value)),
                Some((first, of)) if !same(first, &columns) => {
                    return Err(WorkerError::Setup(format!(
                        "{topic:?} publishes {of:?} and {:?}, whose columns are not the same",
                        input.value
                    )));
                }
                // What one of them may leave out, the topic may.
                Some((first, of)) => known = Some((weaker(first, &columns), *of)),
            }
        }
        let (columns, _) = known.ok_or_else(|| {
            WorkerError::Setup(format!("{topic:?} has no inputs, and so no columns; give it one"))
        })?;
        Ok(columns)
    }
}

fn same(a: &SchemaRef, b: &SchemaRef) -> bool {
    a.fields().len() == b.fields().len()
        && a.fields()
            .iter()
            .zip(b.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}

fn weaker(a: &SchemaRef, b: &SchemaRef) -> SchemaRef {
    let fields = a.fields().iter().zip(b.fields());
    let fields = fields.map(|(a, b)| a.as_ref().clone().with_nullable(a.is_nullable() || b.is_nullable()));
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

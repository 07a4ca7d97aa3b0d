//! From a plan to stages that run: settings are read, functions loaded, schemas found, the engine's specs filled. Never
//! enters: running them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use millstream_connect::rate::{MaxRate, RateGuard};
use millstream_connector::Period;
use millstream_engine::sql::Keep;
use millstream_engine::stage::{OperatorKind, OperatorSpec, SourceSpec, StageSpec, TableSpec};
use millstream_format::{Decoder, Format};
use millstream_model::{LateRule, LateThen, WatermarkConfig};
use millstream_plan::{
    Encoding, Foreign, Job, OperatorInput, Partitioner, Stage, StageKind, TopicInput, TopicRole,
};
use millstream_spec::Pipeline;
use millstream_spec::ast::{self, DataAction, OnExceed, Operator};
use millstream_spec::catalog::Delivery;
use millstream_spec::replaced::replaced;
use millstream_spec::sql::SqlText;
use millstream_wasm::{Engine, Function};

use crate::connectors::Maker;
use crate::ends::StageParts;
use crate::error::WorkerError;
use crate::formats::Formats;
use crate::functions::{self, Loaded};
use crate::gone::{self, GoneReader};
use crate::ingest::check::{Checker, Wanted};
use crate::ingest::{IngestOutput, IngestStage};
use crate::outbox::DeadLetters;
use crate::process::{Form, ProcessInput, ProcessOutput, ProcessStage};
use crate::schemas::Columns;
use crate::sink_stage::{SinkInput, SinkStage};
use crate::snapshots::Snapshots;
use crate::tables::Opened;
use crate::trim::Trimmer;

/// Rows that the engine runs together.
const BATCH_ROWS: usize = 8_192;

/// Everything that stages are made from.
pub struct Parts<'a> {
    /// The spec.
    pub pipeline: &'a Pipeline,
    /// The plan.
    pub job: &'a Job,
    /// The pipeline's folder.
    pub root: &'a std::path::Path,
    /// Makes connectors.
    pub maker: &'a Maker<'a>,
    /// Where snapshots of state go, unless into the changelogs.
    pub snapshots: Option<Arc<Snapshots>>,
    /// Tables by id.
    pub tables: &'a BTreeMap<String, Opened>,
    /// Their columns.
    pub table_columns: BTreeMap<String, SchemaRef>,
    /// What records are written in.
    pub formats: &'a Formats,
    /// The functions that SQL calls.
    pub functions: Loaded,
}

/// Which columns a decoder stores; it checks all of them.
#[derive(Clone, Copy)]
enum Stored {
    All,
    None,
}

/// What `shapes` refuses before anything runs.
fn not_yet(what: String) -> WorkerError {
    WorkerError::Setup(format!("{what} does not run in this version; `millstream validate` shows where"))
}

/// The engine's operators of a stage.
pub fn operators(pipeline: &Pipeline, stage: &Stage) -> Result<Vec<OperatorSpec>, WorkerError> {
    let mut specs = Vec::new();
    for operator in &stage.operators {
        let id = &operator.id.name;
        let kind = match pipeline.transforms.get(id).map(|t| &t.op) {
            Some(Operator::Dedupe(dedupe)) => OperatorKind::Dedupe {
                key: dedupe.key.iter().map(|k| k.value.clone()).collect(),
                within_ms: dedupe.within_ms as i64,
                late_by_ms: None,
            },
            Some(Operator::Sql(sql)) => OperatorKind::Sql {
                sql: sql.sql.text.clone(),
                late: late_rule(sql),
                update_ms: sql.emit.as_ref().and_then(|emit| emit.value.every_ms()).map(|every| every as i64),
                keep: sql.keep.as_ref().map(|keep| match keep.value {
                    ast::Keep::For(span) => Keep::For(span as i64),
                    ast::Keep::ForEver => Keep::ForEver,
                }),
            },
            Some(Operator::Topic(op)) => {
                let topic = pipeline.topics.get(&op.topic.value);
                let by = topic.into_iter().flat_map(|topic| &topic.key).map(|key| key.value.clone());
                OperatorKind::Divide { by: by.collect() }
            }
            Some(op) => match short_form(op, &operator.inputs) {
                // Nothing in it waits for a window.
                Some(query) => OperatorKind::Sql {
                    sql: query.sql,
                    late: LateRule::default(),
                    update_ms: None,
                    keep: None,
                },
                None => {
                    return Err(not_yet(format!("{id:?}, of type {} behind a topic,", operator.type_name)));
                }
            },
            None => return Err(not_yet(format!("{id:?}, of type {} behind a topic,", operator.type_name))),
        };
        let inputs = operator.inputs.iter().map(|input| match input {
            OperatorInput::Source(id)
            | OperatorInput::Topic(id)
            | OperatorInput::Operator(id)
            | OperatorInput::Table(id) => id.clone(),
        });
        specs.push(OperatorSpec {
            id: operator.id.to_string(),
            name: id.clone(),
            inputs: inputs.collect(),
            kind,
        });
    }
    Ok(specs)
}

/// A filter or a map as a query.
pub struct ShortForm<'a> {
    /// The query.
    pub sql: String,
    /// The expressions of the file, each with the query's line, from 1, on which it begins; they begin in the first column.
    pub parts: Vec<(u64, &'a SqlText)>,
}

/// The query of a filter or a map; nothing for other operators.
pub fn short_form<'a>(op: &'a Operator, inputs: &[OperatorInput]) -> Option<ShortForm<'a>> {
    let input = inputs.first()?.id();
    let mut parts = Vec::new();
    let sql = match op {
        Operator::Filter(condition) => {
            parts.push((2, condition));
            format!("SELECT * FROM \"{input}\" WHERE\n{}", condition.text)
        }
        Operator::Map(columns) => {
            let mut sql = "SELECT".to_owned();
            for (place, (name, expression)) in columns.iter().enumerate() {
                let comma = if place > 0 { "," } else { "" };
                parts.push((sql.lines().count() as u64 + 1, expression));
                let _ = write!(sql, "{comma}\n{}\nAS \"{}\"", expression.text, name.value);
            }
            format!("{sql}\nFROM \"{input}\"")
        }
        _ => return None,
    };
    Some(ShortForm { sql, parts })
}

fn late_rule(sql: &ast::Sql) -> LateRule {
    let late = sql.late.as_ref().map_or_else(ast::Late::default_rule, |l| l.value.clone());
    let then = match late.then {
        ast::LateThen::Drop => LateThen::Drop,
        ast::LateThen::Topic(Some(topic)) => LateThen::Topic(topic.value),
        _ => LateThen::DeadLetter,
    };
    LateRule { allow_ms: late.allow_ms as i64, updates: late.updates, then }
}

/// The same columns, of which one is never null.
fn required(schema: &SchemaRef, name: &str) -> SchemaRef {
    let field = |field: &arrow::datatypes::FieldRef| {
        field.as_ref().clone().with_nullable(field.is_nullable() && field.name() != name)
    };
    Arc::new(arrow::datatypes::Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The engine's spec of a process stage.
pub fn stage_spec(columns: &Columns<'_>, stage: &Stage, bounded: bool) -> Result<StageSpec, WorkerError> {
    let pipeline = columns.pipeline;
    let mut sources = Vec::with_capacity(stage.inputs.len());
    for input in &stage.inputs {
        let times = input.watermark.as_ref();
        let (delay_ms, idle_after_ms) =
            times.map_or((0, None), |w| (w.delay_ms as i64, Some(w.idle_ms as i64)));
        let event_time = times.map(|w| w.column.value.clone());
        let schema = columns.of(&input.stream)?;
        // What a query computes may be null by its type alone (COALESCE of both times of a join): a row in which it is, is bad.
        let of_query = input.foreign.is_none() && pipeline.transforms.contains_key(&input.stream);
        let schema = match event_time.as_ref().filter(|_| of_query) {
            Some(time) => required(&schema, time),
            None => schema,
        };
        let format = columns.formats.of(&input.topic);
        sources.push(SourceSpec {
            name: input.stream.clone(),
            schema,
            frozen: format.is_json() && columns.is_frozen(&input.stream),
            format,
            event_time,
            watermark: WatermarkConfig { delay_ms, idle_after_ms, bounded },
            partitioned_by: (stage.key_groups > 1).then(|| input.key.clone()),
            latest_by: columns.latest_by(&input.stream)?,
        });
    }
    let table = |id: &String| {
        let (schema, table) = (columns.tables.get(id)?.clone(), pipeline.tables.get(id)?);
        // Of one that is asked by its key there may be several rows of each.
        let key = table.key.iter().filter(|_| !table.is_asked()).map(|column| column.value.clone());
        Some((id.clone(), TableSpec::new(schema, key)))
    };
    let tables: BTreeMap<String, TableSpec> = stage.tables.iter().filter_map(table).collect();
    let changelog_partitions =
        stage.operators.iter().filter_map(|o| o.state.as_ref()).map(|s| s.changelog_partitions).max();
    Ok(StageSpec {
        id: stage.id.clone(),
        sources,
        key_groups: stage.key_groups,
        changelog_partitions: changelog_partitions.unwrap_or(1),
        tables,
        functions: functions::declared(pipeline),
        operators: operators(pipeline, stage)?,
        outputs: stage.outputs.iter().map(|o| o.from.id().to_owned()).collect(),
        batch_rows: BATCH_ROWS,
    })
}

impl Parts<'_> {
    fn topic(&self, name: &str) -> (Arc<str>, u32) {
        (name.into(), self.job.topics.get(name).map_or(1, |t| t.partitions))
    }

    fn dead_letters(&self) -> Option<DeadLetters> {
        let (topic, partitions) = self.topic(self.job.dead_letters.as_deref()?);
        Some(DeadLetters { topic, partitions })
    }

    /// The positions topic; every pipeline has one.
    pub fn positions(&self) -> Arc<str> {
        self.job.topics_of(TopicRole::Positions).next().map_or("", |t| &t.name).into()
    }

    fn columns(&self) -> Columns<'_> {
        Columns::new((self.pipeline, self.job), &self.table_columns, self.formats)
    }

    /// What a sink or a stage of columns makes of a stream's records.
    fn decoder(&self, stream: &str, format: &Format, columns: Stored) -> Result<Decoder, WorkerError> {
        let known = self.columns();
        let schema = known.of(stream)?;
        let stored: Vec<usize> = match columns {
            Stored::All => (0..schema.fields().len()).collect(),
            Stored::None => Vec::new(),
        };
        let frozen = format.is_json() && known.is_frozen(stream);
        let decoder = Decoder::new(format, &schema, &stored).and_then(|all| all.freeze(frozen));
        decoder.map_err(|error| WorkerError::Setup(error.to_string()))
    }

    /// The topics that others write and that are read to where they end now, with their partitions; on the bench, all
    /// that others write.
    pub fn ending(&self) -> Vec<(Arc<str>, u32)> {
        let ends = |input: &&TopicInput| match input.foreign {
            Some(Foreign::UntilEnd) => true,
            Some(Foreign::ForEver) => self.maker.is_on_bench(),
            None => false,
        };
        let inputs = self.job.stages.iter().flat_map(|stage| &stage.inputs).filter(ends);
        inputs.map(|input| self.topic(&input.topic)).collect()
    }

    /// Whether all topics that others write are read to an end.
    pub fn foreign_ends(&self) -> bool {
        let for_ever = |input: &TopicInput| input.foreign == Some(Foreign::ForEver);
        self.maker.is_on_bench() || !self.job.stages.iter().any(|stage| stage.inputs.iter().any(for_ever))
    }

    /// The stages as other workers see them.
    pub fn stage_parts(&self) -> BTreeMap<String, StageParts> {
        let of = |stage: &Stage| {
            let parts = match stage.kind {
                StageKind::Process => stage.key_groups,
                StageKind::Ingest | StageKind::Sink => {
                    stage.inputs.iter().map(|i| self.topic(&i.topic).1).sum()
                }
            };
            let writes = stage.outputs.iter().map(|output| self.topic(&output.topic)).collect();
            (stage.id.clone(), StageParts { parts, writes })
        };
        self.job.stages.iter().map(of).collect()
    }

    /// The ingest stage.
    pub fn ingest(&self, stage: &Stage, engine: &Engine) -> Result<IngestStage, WorkerError> {
        let mut function = None;
        for operator in &stage.operators {
            let id = &operator.id.name;
            let Some(Operator::Wasm(wasm)) = self.pipeline.transforms.get(id).map(|t| &t.op) else {
                return Err(not_yet(format!("{id:?}, of type {} before a topic,", operator.type_name)));
            };
            let all =
                stage.sources.iter().all(|s| operator.inputs.contains(&OperatorInput::Source(s.clone())));
            if function.is_some() || !all {
                return Err(not_yet(
                    "more than one function before a topic, or one that reads a part of the sources,"
                        .to_owned(),
                ));
            }
            function = Some((id.as_str().into(), self.function(id, wasm, engine)?));
        }
        let mut sources = Vec::new();
        for id in &stage.sources {
            let source = self.maker.source(&self.pipeline.sources[id]);
            sources.push((id.as_str().into(), source.map_err(|d| WorkerError::Setup(d.message))?));
        }
        let mut outputs = Vec::new();
        let mut wanted = Wanted::default();
        for output in &stage.outputs {
            let from = output.from.id();
            let passed =
                matches!(&output.from, OperatorInput::Source(_)) && (function.is_some() || sources.len() > 1);
            if passed {
                return Err(not_yet(format!("a topic or sink that reads {from:?} beside others")));
            }
            let (topic, partitions) = self.topic(&output.topic);
            outputs.push(match output.encoding {
                Encoding::Arrow => {
                    if function.is_none() {
                        wanted.columns.push(self.decoder(from, &Format::Json, Stored::None)?);
                    }
                    let decoder = Box::new(self.decoder(from, &Format::Json, Stored::All)?);
                    IngestOutput::Arrow { topic, partitions, decoder }
                }
                _ => {
                    let key = match &output.partitioner {
                        Partitioner::Key(columns) if columns.len() == 1 => Some(columns[0].clone()),
                        Partitioner::Key(_) => {
                            return Err(not_yet("a topic with a key of several columns".to_owned()));
                        }
                        _ => None,
                    };
                    wanted.keys.extend(key.clone());
                    match self.formats.of(&output.topic) {
                        Format::Json => {
                            // Else whoever reads it there judges it.
                            if function.is_none() && self.columns().is_frozen(from) {
                                wanted.columns.push(self.decoder(from, &Format::Json, Stored::None)?);
                            }
                            IngestOutput::Json { topic, partitions, key, bytes_max: usize::MAX }
                        }
                        _ => {
                            let decoder = Box::new(self.decoder(from, &Format::Json, Stored::All)?);
                            let written = Box::new(self.formats.written(&output.topic, &decoder.schema()));
                            let judged = self.decoder(from, &Format::Json, Stored::All)?;
                            wanted.written.push((judged, written.judge()?));
                            let waiting = Vec::new();
                            IngestOutput::Rows {
                                topic,
                                partitions,
                                key,
                                bytes_max: usize::MAX,
                                decoder,
                                written,
                                encoder: None,
                                waiting,
                            }
                        }
                    }
                }
            });
        }
        let errors = &self.pipeline.errors;
        let (splits, split_partitions) = self.topic(&stage.inputs[0].topic);
        Ok(IngestStage {
            sources,
            checker: Checker::new(self.pipeline.name.value.as_str().into(), function, wanted),
            outputs,
            dead_letters: self.dead_letters(),
            stop_on_bad: errors.action == DataAction::Stop,
            rate: self.rate(),
            pauses: errors.on_exceed == OnExceed::Pause,
            splits,
            positions: self.positions(),
            split_partitions,
        })
    }

    /// How many of the records may be bad, where it matters.
    fn rate(&self) -> Option<RateGuard> {
        let errors = &self.pipeline.errors;
        let rate =
            MaxRate { basis_points: errors.max_rate.basis_points, window: Period(errors.max_rate.per_ms) };
        (errors.on_exceed != OnExceed::Continue).then(|| RateGuard::new(rate))
    }

    fn function(&self, id: &str, wasm: &ast::Wasm, engine: &Engine) -> Result<Function, WorkerError> {
        let config = functions::config(id, wasm, |t| self.tables.get(t).map(|t| Arc::clone(&t.lookup)));
        let path = self.root.join(&wasm.module.value);
        engine.load_file(&path, config).map_err(|error| WorkerError::Setup(error.to_string()))
    }

    /// A process stage.
    pub fn process(&self, stage: &Stage, bounded: bool) -> Result<ProcessStage, WorkerError> {
        let tables = stage.tables.iter().filter_map(|id| Some((id.clone(), self.tables.get(id)?)));
        let tables: BTreeMap<String, &Opened> = tables.collect();
        let mut outputs = Vec::new();
        let columns = self.columns();
        for output in &stage.outputs {
            let (topic, partitions) = self.topic(&output.topic);
            let form = match (output.encoding, &output.partitioner) {
                (Encoding::Arrow | Encoding::Internal, _) => Form::Columns,
                (Encoding::Records, Partitioner::Key(columns)) if columns.len() > 1 => {
                    return Err(not_yet("a topic with a key of several columns".to_owned()));
                }
                (Encoding::Records, partitioner) => {
                    let times = |input: &TopicInput| input.topic == output.topic && input.watermark.is_some();
                    let levels = self.job.stages.iter().any(|s| s.inputs.iter().any(times));
                    let key = match partitioner {
                        Partitioner::Key(columns) => columns.first().cloned(),
                        _ => None,
                    };
                    let columns = columns.of(output.from.id())?;
                    let written = self.formats.written(&output.topic, &columns);
                    Form::Records { key, levels, written }
                }
            };
            // A test sees what a commit holds.
            let delivery = match self.maker.is_on_bench() {
                true => Delivery::ExactlyOnce,
                false => output.delivery,
            };
            let from = output.from.id().to_owned();
            let known_by = columns.known_by(&from)?;
            let lets_go = match (&known_by, &output.partitioner, output.encoding) {
                (None, ..) => false,
                // A record of many rows cannot say that one is gone.
                (_, _, Encoding::Records) if matches!(self.formats.of(&topic), Format::Arrow) => false,
                (Some(known_by), Partitioner::Key(key), Encoding::Records) => {
                    gone::can_be_told(&*columns.of(&from)?, known_by, key)
                }
                (Some(known_by), _, Encoding::Records) => {
                    gone::can_be_told(&*columns.of(&from)?, known_by, &[])
                }
                // Sinks look for themselves.
                (Some(_), ..) => true,
            };
            outputs.push(ProcessOutput { from, topic, partitions, form, delivery, known_by, lets_go });
        }
        let changelogs = stage.operators.iter().filter_map(|operator| {
            let state = operator.state.as_ref()?;
            Some((operator.id.to_string(), (state.changelog.as_str().into(), state.changelog_partitions)))
        });
        let mut spec = stage_spec(&columns, stage, bounded)?;
        self.functions.give(&mut spec.functions);
        Ok(ProcessStage {
            spec,
            tables: tables.into_iter().map(|(id, t)| (id, t.rows.clone())).collect(),
            inputs: stage
                .inputs
                .iter()
                .map(|input| ProcessInput {
                    topic: input.topic.as_str().into(),
                    fetcher: self.formats.fetcher(&input.topic),
                    // A test is to give the same whenever it is run.
                    ahead_ms: input.ahead_ms.filter(|_| !self.maker.is_on_bench()).map(|ms| ms as i64),
                    keyed_by: input.key.first().cloned().filter(|_| {
                        let keeps = stage.operators.iter().any(|operator| operator.state.is_some());
                        let replaced = || replaced(self.pipeline, &input.stream).is_some();
                        stage.key_groups > 1 && input.foreign.is_some() && (keeps || replaced())
                    }),
                    key: input.key.clone(),
                })
                .collect(),
            outputs,
            discards: stage.discards.iter().map(|from| from.id().to_owned()).collect(),
            changelogs: changelogs.collect(),
            snapshot_after: self.pipeline.defaults.snapshot_after_bytes,
            snapshots: self.snapshots.clone(),
            standby: self.pipeline.defaults.standby,
            warm_start: self.pipeline.defaults.warm_start,
            dead_letters: self.dead_letters(),
            stop_on_bad: self.pipeline.errors.action == DataAction::Stop,
            rate: self.rate(),
            pauses: self.pipeline.errors.on_exceed == OnExceed::Pause,
            late_topics: stage
                .operators
                .iter()
                .filter_map(|operator| self.late_topic(&operator.id.name))
                .collect(),
            positions: self.positions(),
            pipeline: self.pipeline.name.value.clone(),
            event_time_at_end: self.maker.event_time_at_end(),
            begun: AtomicBool::new(false),
        })
    }

    /// The topic of a query's late rows, with the query's id.
    fn late_topic(&self, id: &str) -> Option<(String, (Arc<str>, u32))> {
        let Operator::Sql(query) = &self.pipeline.transforms.get(id)?.op else { return None };
        let ast::LateThen::Topic(Some(topic)) = &query.late.as_ref()?.value.then else { return None };
        let topic = self.pipeline.topics.get(&topic.value)?;
        Some((id.to_owned(), self.topic(&topic.name.value)))
    }

    /// Deletes from the topics of a sink stage that are there for sinks alone.
    fn trimmer(&self, stage: &Stage) -> Trimmer {
        // On the bench what operators gave is read from these topics afterwards.
        let is_kept = self.maker.is_on_bench();
        let is_ours =
            |topic: &str| !is_kept && self.job.topics.get(topic).is_some_and(|t| t.role == TopicRole::Sink);
        let readers = |topic: &str| {
            let reads = |s: &&Stage| s.inputs.iter().any(|input| input.topic == topic);
            self.job.stages.iter().filter(reads).map(|s| s.group_id.clone()).collect()
        };
        let ours = stage.inputs.iter().filter(|input| is_ours(&input.topic));
        let interval = Duration::from_millis(self.pipeline.defaults.trim_interval_ms);
        Trimmer::new(
            ours.map(|input| (input.topic.as_str().into(), readers(&input.topic))).collect(),
            interval,
        )
    }

    /// A sink stage.
    pub fn sink(&self, stage: &Stage) -> Result<SinkStage, WorkerError> {
        let id = stage.sink.as_deref().unwrap_or(&stage.id);
        let spec = &self.pipeline.sinks[id];
        self.maker
            .prepare_sink(spec)
            .map_err(|error| WorkerError::Setup(format!("making the folder of sink {id:?}: {error}")))?;
        let sink = self.maker.sink(spec).map_err(|d| WorkerError::Setup(d.message))?;
        let mut inputs = Vec::new();
        let columns = self.columns();
        for input in &stage.inputs {
            let decoder = match input.encoding {
                Encoding::Records => {
                    Some(self.decoder(&input.stream, &self.formats.of(&input.topic), Stored::All)?)
                }
                _ => None,
            };
            let known_by = columns.known_by(&input.stream)?;
            let key = spec.config.texts("key");
            let is_key = |known_by: &Vec<String>| {
                known_by.len() == key.len() && key.iter().all(|column| known_by.contains(&column.value))
            };
            let finds_gone = known_by.as_ref().is_some_and(is_key);
            let gone = match (&decoder, known_by) {
                (Some(decoder), Some(known_by)) => {
                    Some(GoneReader::new(&decoder.schema(), &known_by, &input.key)?)
                }
                _ => None,
            };
            let (topic, partitions) = self.topic(&input.topic);
            let fetcher = self.formats.fetcher(&input.topic);
            inputs.push(SinkInput { topic, partitions, decoder, fetcher, gone, finds_gone });
        }
        Ok(SinkStage {
            sink,
            inputs,
            trimmer: self.trimmer(stage),
            skips_gaps: spec.skips_gaps,
            dead_letters: self.dead_letters(),
            stop_on_bad: self.pipeline.errors.action == DataAction::Stop,
            pipeline: self.pipeline.name.value.clone(),
            bad: BTreeMap::new(),
        })
    }
}

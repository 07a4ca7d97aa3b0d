//! A pipeline's process stages as the engine runs them, for `explain`: built as a run builds them, over the columns that
//! its tables have or are declared to have. Never enters: brokers, rows, layout on a screen.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_engine::stage::Stage;
pub use millstream_engine::stage::describe::{OperatorDescription, StageDescription, StateDescription};
use millstream_plan::StageKind;

use crate::assemble::stage_spec;
use crate::connectors::{Maker, WallClock};
use crate::error::WorkerError;
use crate::formats;
use crate::load::Opened;
use crate::schemas::Columns;
use crate::tables;

/// The process stages of an opened pipeline, by id.
pub async fn stages(opened: &Opened) -> Result<BTreeMap<String, StageDescription>, WorkerError> {
    let mut described = BTreeMap::new();
    let Some((pipeline, job)) = &opened.parts else { return Ok(described) };
    let maker = Maker::new(pipeline, &opened.root, Arc::new(WallClock::new()), 0);
    let maker = maker.map_err(|d| WorkerError::Setup(d.message))?;
    let formats = maker.formats().map_err(formats::refused)?;
    let mut columns = BTreeMap::new();
    for (id, table) in &pipeline.tables {
        let found = tables::columns(pipeline, table, &maker).await;
        columns.insert(id.clone(), found.map_err(|d| WorkerError::Setup(d.message))?);
    }
    for stage in job.stages.iter().filter(|s| s.kind == StageKind::Process) {
        let known = Columns::new((pipeline, job), &columns, &formats);
        let built = Stage::build(stage_spec(&known, stage, true)?).map_err(|problems| {
            WorkerError::Setup(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        described.insert(stage.id.clone(), built.describe());
    }
    Ok(described)
}

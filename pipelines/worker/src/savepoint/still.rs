//! Whether a pipeline stands still: no worker is a member of its groups, and no transaction is open in what a savepoint copies. A
//! worker that was stopped has ended with a commit in every stage, so what is there then is one moment of it. Never enters: stopping
//! anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Admin, ClientError, Cluster};
use millstream_plan::Job;
use millstream_types::{ErrorCode, TopicPartition};

use crate::error::WorkerError;
use crate::restore;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until the pipeline stands still, `within` at most. `copied` are the partitions in which nothing may be open; their ends.
pub async fn wait(
    cluster: &Arc<Cluster>,
    job: &Job,
    copied: &[TopicPartition],
    within: Duration,
) -> Result<BTreeMap<TopicPartition, i64>, WorkerError> {
    let began = Instant::now();
    loop {
        let why = match moving(cluster, job).await? {
            Some(why) => why,
            None => {
                let ends = restore::ends(cluster, copied).await?;
                let stable = restore::stable_ends(cluster, copied).await?;
                let open = ends.iter().find(|(at, end)| stable.get(*at).is_none_or(|stable| stable < *end));
                let Some((at, end)) = open else { return Ok(ends) };
                format!(
                    "a transaction is open in {at}, from offset {} of {end}: that of a producer which still writes, or of a worker \
                     that died and is given up by the broker after 10 s",
                    stable.get(at).copied().unwrap_or(0)
                )
            }
        };
        if began.elapsed() >= within {
            return Err(WorkerError::Setup(format!(
                "pipeline {} does not stand still after {} s: {why}. Stop it (SIGTERM to each worker, which commits), and wait longer with \
                 --wait where a worker has died",
                job.pipeline,
                within.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_EVERY.min(within.saturating_sub(began.elapsed()))).await;
    }
}

/// Who is a member of a stage's group.
async fn moving(cluster: &Arc<Cluster>, job: &Job) -> Result<Option<String>, WorkerError> {
    let admin = Admin::new(cluster);
    for stage in &job.stages {
        let found = match admin.describe_group(&stage.group_id).await {
            Ok(found) => found,
            Err(ClientError::Broker { code: ErrorCode::GroupIdNotFound, .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(member) = found.members.first() {
            let more = match found.members.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            return Ok(Some(format!(
                "group {} of stage {} has the member {} at {}{more}, a worker that runs or has died a moment ago",
                stage.group_id, stage.id, member.member_id, member.client_host
            )));
        }
    }
    Ok(None)
}

//! `_millstream_offsets`: where each input partition stands, in the database itself. Owns its SQL. Invariant CN-1: an
//! offset moves only from the value that this owner last saw, in the transaction of its rows. Both statements wait for
//! another owner's open transaction on the same row and see what it left.

use millstream_connector::{Context, SinkError};
use millstream_types::{Offset, TopicPartition};
use tokio_postgres::Client;

use crate::error::sink_error;

/// The table's definition. A contract: databases of older versions have it.
pub const CREATE: &str = "CREATE TABLE IF NOT EXISTS _millstream_offsets (
    pipeline text NOT NULL, sink text NOT NULL, topic text NOT NULL, partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (pipeline, sink, topic, partition)
)";

/// Where a partition stands.
pub async fn read(
    client: &Client,
    context: &Context,
    partition: &TopicPartition,
) -> Result<Option<Offset>, tokio_postgres::Error> {
    let sql = "SELECT next_offset FROM _millstream_offsets
               WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND partition = $4";
    let row = client
        .query_opt(
            sql,
            &[&&*context.pipeline, &&*context.component, &&*partition.topic, &partition.partition],
        )
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Moves a partition from `expected` to `next` within the open transaction, or says who did.
pub async fn advance(
    client: &Client,
    context: &Context,
    partition: &TopicPartition,
    expected: Option<Offset>,
    next: Offset,
) -> Result<(), SinkError> {
    let failed = |error: tokio_postgres::Error| {
        sink_error(&format!("moving the stored offset of {partition} to {next}"), &error)
    };
    let (pipeline, sink, topic) = (&*context.pipeline, &*context.component, &*partition.topic);
    let moved = match expected {
        None => {
            let sql = "INSERT INTO _millstream_offsets VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            client.execute(sql, &[&pipeline, &sink, &topic, &partition.partition, &next]).await
        }
        Some(expected) => {
            let sql = "UPDATE _millstream_offsets SET next_offset = $5
                       WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND partition = $4 AND next_offset = $6";
            client.execute(sql, &[&pipeline, &sink, &topic, &partition.partition, &next, &expected]).await
        }
    };
    match moved.map_err(failed)? {
        1 => Ok(()),
        _ => {
            let found = read(client, context, partition).await.map_err(failed)?;
            Err(SinkError::Fenced { partition: partition.clone(), expected, found })
        }
    }
}

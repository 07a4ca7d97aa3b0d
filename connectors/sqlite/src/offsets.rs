//! `_millstream_offsets`: where each input partition stands, in the database itself. Owns its SQL. Invariant CN-1: an
//! offset moves only from the value that this owner last saw, in the transaction of its rows.

use millstream_connector::{Context, SinkError};
use millstream_types::{Offset, TopicPartition};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::sink_error;

/// The table's definition. A contract: databases of older versions have it.
pub const CREATE: &str = "CREATE TABLE IF NOT EXISTS _millstream_offsets (
    pipeline TEXT NOT NULL, sink TEXT NOT NULL, topic TEXT NOT NULL, \"partition\" INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (pipeline, sink, topic, \"partition\")
) WITHOUT ROWID";

/// Where a partition stands.
pub fn read(
    connection: &Connection,
    context: &Context,
    partition: &TopicPartition,
) -> rusqlite::Result<Option<Offset>> {
    connection
        .prepare_cached(
            "SELECT next_offset FROM _millstream_offsets
             WHERE pipeline = ?1 AND sink = ?2 AND topic = ?3 AND \"partition\" = ?4",
        )?
        .query_row(
            params![&*context.pipeline, &*context.component, &*partition.topic, partition.partition],
            |row| row.get(0),
        )
        .optional()
}

/// Moves a partition from `expected` to `next` within the open transaction, or says who did.
pub fn advance(
    connection: &Connection,
    context: &Context,
    partition: &TopicPartition,
    expected: Option<Offset>,
    next: Offset,
) -> Result<(), SinkError> {
    let doing = || format!("moving the stored offset of {partition} to {next}");
    let moved = match expected {
        None => connection.execute(
            "INSERT INTO _millstream_offsets VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![&*context.pipeline, &*context.component, &*partition.topic, partition.partition, next],
        ),
        Some(expected) => connection.execute(
            "UPDATE _millstream_offsets SET next_offset = ?5
             WHERE pipeline = ?1 AND sink = ?2 AND topic = ?3 AND \"partition\" = ?4 AND next_offset = ?6",
            params![
                &*context.pipeline,
                &*context.component,
                &*partition.topic,
                partition.partition,
                next,
                expected
            ],
        ),
    };
    match moved.map_err(|error| sink_error(&doing(), &error))? {
        1 => Ok(()),
        _ => {
            let found = read(connection, context, partition).map_err(|error| sink_error(&doing(), &error))?;
            Err(SinkError::Fenced { partition: partition.clone(), expected, found })
        }
    }
}

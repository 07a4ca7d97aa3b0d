//! What is kept of a side of a join that is kept up to date; fixed by the query. Never enters: rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use millstream_model::LateRule;

use super::UpdateSide;
use crate::op::Step;

/// Before the names of columns that are kept for what rows are known by alone.
const DROPPED: &str = "known by ";

/// What is kept of a side; fixed by the query.
pub(crate) struct UpdateSidePlan {
    pub(crate) late: LateRule,
    /// What is done to rows before they are kept: conditions and columns, each row by itself.
    pub(crate) steps: Vec<Step>,
    /// The columns that these give, which the join is over.
    pub(crate) joined: SchemaRef,
    /// The columns that rows are known by, as they come.
    pub(super) known_by: Vec<usize>,
    /// Those of them that the steps drop: they are kept behind the others.
    pub(super) dropped: Vec<usize>,
    /// The columns of rows as they are kept.
    pub(super) schema: SchemaRef,
    /// Those of them that rows are known by, in the order of `known_by`.
    pub(super) identity: Vec<usize>,
    /// What they are joined on.
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Whether a row is refused where a column is null that it is known by: what comes out would be known by nothing.
    pub(super) wants_identity: bool,
    /// Whether rows with a null in their key have that key too, as where rows are divided and not joined.
    pub(super) nulls_meet: bool,
    pub(crate) state_schema: SchemaRef,
}

impl UpdateSidePlan {
    /// Of rows that are joined by some keys once steps have given them their columns.
    pub(crate) fn new(
        late: LateRule,
        (steps, joined): (Vec<Step>, SchemaRef),
        keys: Vec<Arc<dyn PhysicalExpr>>,
        wants_identity: bool,
    ) -> UpdateSidePlan {
        let (schema, state_schema) = (Arc::clone(&joined), Arc::clone(&joined));
        let (known_by, dropped, identity) = (Vec::new(), Vec::new(), Vec::new());
        UpdateSidePlan {
            late,
            steps,
            joined,
            known_by,
            dropped,
            schema,
            identity,
            keys,
            wants_identity,
            nulls_meet: false,
            state_schema,
        }
    }

    /// Rows are divided by their keys: nulls are a key like any other.
    pub(crate) fn with_nulls(mut self) -> UpdateSidePlan {
        self.nulls_meet = true;
        self
    }

    /// Known by these columns of rows as they come, which have the columns of `wide`; each with its place among those that are joined,
    /// where it is there.
    pub(crate) fn known_by(
        mut self,
        wide: &Schema,
        known_by: Vec<usize>,
        joined: &[Option<usize>],
    ) -> UpdateSidePlan {
        let mut fields: Vec<Field> =
            self.joined.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (at, joined) in known_by.iter().zip(joined) {
            self.identity.push(joined.unwrap_or(fields.len()));
            if joined.is_none() {
                let field = wide.field(*at).clone();
                let name = format!("{DROPPED}{}", field.name());
                fields.push(field.with_name(name));
                self.dropped.push(*at);
            }
        }
        self.known_by = known_by;
        let own = [Field::new("group", DataType::UInt32, false), Field::new("what", DataType::Int8, false)];
        let columns = fields.iter().map(|field| field.clone().with_nullable(true));
        self.state_schema = Arc::new(Schema::new(own.into_iter().chain(columns).collect::<Vec<_>>()));
        self.schema = Arc::new(Schema::new(fields));
        self
    }
}

impl UpdateSide {
    /// The columns that rows are known by, for people.
    pub(crate) fn identity_names(&self) -> impl Iterator<Item = &str> {
        let name = |at: &usize| self.plan.schema.field(*at).name().as_str();
        self.plan.identity.iter().map(move |at| name(at).strip_prefix(DROPPED).unwrap_or(name(at)))
    }
}

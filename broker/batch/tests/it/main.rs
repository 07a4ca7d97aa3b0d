//! Tests of the batch crate as its users see it: against another implementation, against damage, against bombs.

mod bomb;
mod damage;
mod model;
mod oracle;
mod rules;

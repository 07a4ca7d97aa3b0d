//! What an updating result says about a row: it is there, or it is taken back. A result that emits once, when its
//! window closes, has inserts only.

/// One change to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum Change {
    /// The row is part of the result from now on.
    Insert = 1,
    /// A row that was inserted before is no longer part of the result.
    Retract = -1,
}

impl Change {
    /// What this adds to the number of times that the row is in the result.
    pub fn weight(self) -> i64 {
        self as i8 as i64
    }

    /// The change that undoes this one.
    pub fn inverse(self) -> Change {
        match self {
            Change::Insert => Change::Retract,
            Change::Retract => Change::Insert,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_its_inverse_leave_nothing() {
        for change in [Change::Insert, Change::Retract] {
            assert_eq!(change.weight() + change.inverse().weight(), 0);
        }
    }
}

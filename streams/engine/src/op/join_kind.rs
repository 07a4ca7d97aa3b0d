//! What a join of two streams gives of the rows that match and of those that do not. Never enters: which rows match, and when.

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinSide {
    Left,
    Right,
}

/// What comes out of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// Pairs of rows that match; of a side that is outer, rows without a match too, with nulls for the other.
    Pairs { left_outer: bool, right_outer: bool },
    /// Rows of one side, each once and as it is: those that a row of the other side matches.
    Semi(JoinSide),
    /// Rows of one side, each once and as it is: those that no row of the other side matches.
    Anti(JoinSide),
}

impl JoinKind {
    /// Whether the rows of a side that match nothing come out.
    pub(crate) fn gives_unmatched(self, side: JoinSide) -> bool {
        match self {
            JoinKind::Pairs { left_outer, .. } if side == JoinSide::Left => left_outer,
            JoinKind::Pairs { right_outer, .. } => right_outer,
            JoinKind::Semi(_) => false,
            JoinKind::Anti(given) => given == side,
        }
    }

    /// The side whose rows come out as they are; nothing of a join that gives pairs.
    pub(crate) fn given(self) -> Option<JoinSide> {
        match self {
            JoinKind::Pairs { .. } => None,
            JoinKind::Semi(side) | JoinKind::Anti(side) => Some(side),
        }
    }

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            JoinKind::Pairs { left_outer: false, right_outer: false } => "inner",
            JoinKind::Pairs { left_outer: true, right_outer: false } => "left",
            JoinKind::Pairs { left_outer: false, right_outer: true } => "right",
            JoinKind::Pairs { left_outer: true, right_outer: true } => "full",
            JoinKind::Semi(JoinSide::Left) => "left semi",
            JoinKind::Semi(JoinSide::Right) => "right semi",
            JoinKind::Anti(JoinSide::Left) => "left anti",
            JoinKind::Anti(JoinSide::Right) => "right anti",
        }
    }
}

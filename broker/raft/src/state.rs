//! The roles of a member, a file for each: its data, and what it does with time and messages.

pub(crate) mod candidate;
pub(crate) mod follower;
pub(crate) mod leader;
pub(crate) mod prospective;
pub(crate) mod resigned;
pub(crate) mod unattached;

/// What a member is; the transitions are listed in `quorum.rs`.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Unattached(unattached::Unattached),
    Prospective(prospective::Prospective),
    Candidate(candidate::Candidate),
    Leader(leader::Leader),
    Follower(follower::Follower),
    Resigned(resigned::Resigned),
}

//! Incremental fetch sessions (KIP-227): a consumer names its partitions once, then only what changed, and is answered
//! only with what has something to say. Owns the cache of sessions, bounded in slots. Never enters: reading.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_types::{ErrorCode, Offset, Rng, SeededRng, Uuid};
use parking_lot::Mutex;

/// The session id of a request without a session.
pub const NO_SESSION: i32 = 0;
/// The epoch of a request that begins a session.
pub const FIRST_EPOCH: i32 = 0;
/// The epoch of a request that ends its session, or wants none.
pub const LAST_EPOCH: i32 = -1;

/// A partition as a request names it: by id from version 13 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The topic's name; empty where the request names ids.
    pub topic: String,
    /// The topic's id; zero where the request names names.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
}

/// What a consumer wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// From where.
    pub offset: Offset,
    /// At most this many bytes.
    pub bytes_max: i32,
    /// The leader epoch that it knows, or -1.
    pub leader_epoch: i32,
}

/// What a session last said of a partition; said again only when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The high watermark.
    pub high_watermark: Offset,
    /// The log start.
    pub log_start: Offset,
}

struct Session {
    epoch: i32,
    wanted: BTreeMap<Place, (Wanted, Option<Told>)>,
    /// The place that the next answer begins after, so that none is starved by a full answer.
    after: Option<Place>,
    used: u64,
}

struct Cache {
    sessions: HashMap<i32, Arc<Mutex<Session>>>,
    rng: SeededRng,
    clock: u64,
}

/// See the module.
pub struct FetchSessions {
    slots: usize,
    cache: Mutex<Cache>,
}

/// A request with its partitions, as its session has them.
pub struct SessionFetch {
    /// What the answer carries: 0 where there is no session.
    pub session_id: i32,
    /// Partitions to read, in turn.
    pub partitions: Vec<(Place, Wanted)>,
    session: Option<Arc<Mutex<Session>>>,
    /// Whether only what has something to say is answered.
    pub incremental: bool,
}

impl FetchSessions {
    /// A cache of at most `slots` sessions.
    pub fn new(slots: usize) -> FetchSessions {
        let rng = SeededRng::new(crate::clock::seed());
        FetchSessions { slots, cache: Mutex::new(Cache { sessions: HashMap::new(), rng, clock: 0 }) }
    }

    /// Takes a request up.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH: the client then begins anew.
    pub fn take_up(
        &self,
        session_id: i32,
        epoch: i32,
        partitions: Vec<(Place, Wanted)>,
        forgotten: &[Place],
    ) -> Result<SessionFetch, ErrorCode> {
        let mut cache = self.cache.lock();
        cache.clock += 1;
        let clock = cache.clock;
        if epoch == LAST_EPOCH || epoch == FIRST_EPOCH {
            cache.sessions.remove(&session_id);
            let none = |partitions| SessionFetch {
                session_id: NO_SESSION,
                partitions,
                session: None,
                incremental: false,
            };
            if epoch == LAST_EPOCH || self.slots == 0 {
                return Ok(none(partitions));
            }
            if cache.sessions.len() >= self.slots {
                let oldest = cache.sessions.iter().min_by_key(|(_, s)| s.lock().used).map(|(id, _)| *id);
                cache.sessions.retain(|id, _| Some(*id) != oldest);
            }
            let id = loop {
                let id = (cache.rng.next_u64() & 0x7fff_ffff) as i32;
                if id != NO_SESSION && !cache.sessions.contains_key(&id) {
                    break id;
                }
            };
            let wanted = partitions.iter().map(|(place, w)| (place.clone(), (*w, None))).collect();
            let session = Arc::new(Mutex::new(Session { epoch: 1, wanted, after: None, used: clock }));
            cache.sessions.insert(id, Arc::clone(&session));
            return Ok(SessionFetch {
                session_id: id,
                partitions,
                session: Some(session),
                incremental: false,
            });
        }
        let session = cache.sessions.get(&session_id).cloned().ok_or(ErrorCode::FetchSessionIdNotFound)?;
        drop(cache);
        let mut s = session.lock();
        if s.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        s.epoch = if s.epoch == i32::MAX { 1 } else { s.epoch + 1 };
        s.used = clock;
        for (place, wanted) in partitions {
            let told = s.wanted.get(&place).and_then(|(_, told)| *told);
            s.wanted.insert(place, (wanted, told));
        }
        for place in forgotten {
            s.wanted.remove(place);
        }
        let behind = s.after.as_ref().map_or(0, |after| s.wanted.range(..=after.clone()).count());
        let mut partitions: Vec<(Place, Wanted)> =
            s.wanted.iter().map(|(p, (w, _))| (p.clone(), *w)).collect();
        partitions.rotate_left(behind);
        drop(s);
        Ok(SessionFetch { session_id, partitions, session: Some(session), incremental: true })
    }

    /// Sessions that are held.
    pub fn len(&self) -> usize {
        self.cache.lock().sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SessionFetch {
    /// Whether a partition's answer is to be sent: it has records or an error, or its ends moved since they were told.
    pub fn has_news(&self, place: &Place, has_records: bool, is_error: bool, told: Told) -> bool {
        let Some(session) = &self.session else { return true };
        let mut session = session.lock();
        if has_records {
            session.after = Some(place.clone());
        }
        let Some((_, last)) = session.wanted.get_mut(place) else { return true };
        let news = has_records || is_error || *last != Some(told);
        // After an error everything is told anew.
        *last = if is_error { None } else { Some(told) };
        news || !self.incremental
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        Place { topic: "t".to_owned(), topic_id: Uuid::ZERO, partition }
    }

    fn wanted(offset: Offset) -> Wanted {
        Wanted { offset, bytes_max: 1, leader_epoch: -1 }
    }

    #[test]
    fn a_session_remembers_and_forgets_partitions() {
        let sessions = FetchSessions::new(2);
        let all = vec![(place(0), wanted(5)), (place(1), wanted(6)), (place(2), wanted(7))];
        let first = sessions.take_up(0, FIRST_EPOCH, all.clone(), &[]).unwrap();
        assert_eq!(first.partitions, all);
        let told = Told { high_watermark: 9, log_start: 0 };
        assert!(first.has_news(&place(0), false, false, told));
        let next = sessions.take_up(first.session_id, 1, vec![(place(1), wanted(8))], &[place(2)]).unwrap();
        assert_eq!(next.partitions, vec![(place(0), wanted(5)), (place(1), wanted(8))]);
        assert!(!next.has_news(&place(0), false, false, told));
        assert!(next.has_news(&place(0), false, false, Told { high_watermark: 10, log_start: 0 }));
        assert!(next.has_news(&place(0), true, false, told));
        let turned = sessions.take_up(first.session_id, 2, vec![], &[]).unwrap();
        assert_eq!(turned.partitions[0].0, place(1));
    }

    #[test]
    fn wrong_epochs_and_lost_sessions_are_told() {
        let sessions = FetchSessions::new(1);
        let first = sessions.take_up(0, FIRST_EPOCH, vec![(place(0), wanted(0))], &[]).unwrap();
        let wrong = sessions.take_up(first.session_id, 7, vec![], &[]);
        assert_eq!(wrong.err(), Some(ErrorCode::InvalidFetchSessionEpoch));
        sessions.take_up(0, FIRST_EPOCH, vec![], &[]).unwrap();
        assert_eq!(sessions.len(), 1);
        let lost = sessions.take_up(first.session_id, 1, vec![], &[]);
        assert_eq!(lost.err(), Some(ErrorCode::FetchSessionIdNotFound));
        let none = sessions.take_up(0, LAST_EPOCH, vec![(place(0), wanted(0))], &[]).unwrap();
        assert_eq!(none.session_id, NO_SESSION);
    }
}

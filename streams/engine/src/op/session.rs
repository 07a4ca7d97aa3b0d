//! Aggregates over sessions. A row joins the open session of its key that it is within a gap of, makes a new one, or
//! joins two into one. A session fires once, when its key group's watermark has closed it and the allowance is over
//! (SM-2); whether a row still belongs to it is decided by the watermark just before the row, so that results do not
//! depend on when commits come (SM-3).
//!
//! A session is made of fragments: groups of state rows that have, besides the query's keys, the time of the fragment's
//! first row. When two sessions become one, the fragment of one names the other as its parent, and rows need not be
//! moved. No two fragments of a key begin at the same time: a second row of that time joins the first one's session, or
//! is late. The bounds of a session are the least and greatest times in its fragments' state, so that the changelog holds
//! all that there is to know.
//!
//! Panes are buckets of the times at which sessions close. Rows go into the pane of their session's end as they see it;
//! when the watermark reaches a pane, its rows fire or move on to where their session ends by now. So each row is looked
//! at about once for each gap that its session goes on.
//!
//! Groups that are let go of when nothing has come for them for a time are sessions of that gap, whose rows are sent while they
//! go on (`emit: on_update`): of each key those of its latest session, whose end is no news. What has changed is sent before it
//! goes, whatever the interval.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{and_kleene, concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, UInt32Type};
use hashbrown::{HashMap, HashSet, HashTable};
use millstream_model::{EventTime, LateRule, SessionSpan, Sessions, Watermark, Window};
use twox_hash::XxHash3_128;

use super::Give;
use super::again::Updates;
use super::aggregate::{AggregatePlan, KEY_COLUMNS, Values};
use super::chunk::Chunk;
use super::faults::Faults;
use super::pane::{Layer, Pane, Sum, part};
use super::row_key::RowKeys;
use super::run::Portions;
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// The operator's own aggregates, in this order: the least and greatest time, and the parent fragment.
pub(crate) const HIDDEN: [&str; 3] = ["min", "max", "max"];

/// A hash of a session's key, wide enough to stand for it.
type Key = [u64; 2];

#[derive(Clone, Copy, Debug)]
struct Session {
    key: Key,
    /// The fragment that its rows go to: the time of that one's first row.
    id: EventTime,
    span: SessionSpan,
    /// While sessions fire: its place among those that do.
    over: Option<u32>,
}

/// A fragment as its state rows tell.
#[derive(Default)]
struct Fragment {
    span: Option<SessionSpan>,
    parent: Option<EventTime>,
}

/// One key group's sessions.
#[derive(Default)]
struct Group {
    sessions: HashTable<Session>,
    /// Fragments whose session became part of another, with that one's fragment then.
    parents: HashMap<(Key, EventTime), EventTime>,
}

/// Where a row goes.
struct Placed {
    session: Session,
    /// A fragment that became part of the session by this row.
    joined: Option<EventTime>,
}

impl Group {
    /// The session that takes a row, with the row in it; `None` if the row is late.
    fn place(
        &mut self,
        (sessions, late): (Sessions, &LateRule),
        key: Key,
        time: EventTime,
        watermark: Watermark,
    ) -> Option<Placed> {
        let open = |span: SessionSpan| !late.fired(sessions.closes_at(span), watermark);
        let mut found = [None; 2];
        let near = self.sessions.iter_hash(key[0]).filter(|s| s.key == key && sessions.touches(s.span, time));
        // Open sessions of a key are more than a gap apart: one lies before the row, or around it, and one behind.
        near.filter(|s| open(s.span)).zip(&mut found).for_each(|(session, place)| *place = Some(*session));
        match found {
            [None, _] => {
                let session = Session { key, id: time, span: SessionSpan::at(time), over: None };
                if !open(session.span) {
                    return None;
                }
                self.sessions.insert_unique(key[0], session, |s| s.key[0]);
                Some(Placed { session, joined: None })
            }
            [Some(one), None] => {
                let session = self.extend(one, SessionSpan::at(time));
                Some(Placed { session, joined: None })
            }
            [Some(one), Some(other)] => {
                self.remove(other);
                self.parents.insert((key, other.id), one.id);
                let session = self.extend(one, SessionSpan::at(time).and(other.span));
                Some(Placed { session, joined: Some(other.id) })
            }
        }
    }

    /// The open sessions of a key.
    fn of_key(&self, key: Key) -> impl Iterator<Item = &Session> {
        self.sessions.iter_hash(key[0]).filter(move |session| session.key == key)
    }

    fn extend(&mut self, session: Session, by: SessionSpan) -> Session {
        let found = self.find_mut(session.key, session.id);
        found.span = found.span.and(by);
        *found
    }

    fn find_mut(&mut self, key: Key, id: EventTime) -> &mut Session {
        self.sessions.find_mut(key[0], |s| s.key == key && s.id == id).expect("a fragment has its session")
    }

    fn remove(&mut self, session: Session) {
        let found = self.sessions.find_entry(session.key[0], |s| s.key == session.key && s.id == session.id);
        found.expect("a session that was found").remove();
    }

    /// The fragment that names the session of this one.
    fn root(&self, key: Key, mut fragment: EventTime) -> EventTime {
        while let Some(parent) = self.parents.get(&(key, fragment)) {
            fragment = *parent;
        }
        fragment
    }
}

/// A running aggregation over sessions.
pub(crate) struct SessionAggregate {
    pub(crate) plan: AggregatePlan,
    pub(crate) sessions: Sessions,
    /// Which of the plan's keys a session is of. Rows with other values of the rest share it.
    pub(crate) keys: Vec<usize>,
    /// Where rows are sent while sessions go on, and not when they are over: the keys that have changed since, with their key group.
    changed: Option<HashSet<(u32, Key)>>,
    groups: BTreeMap<u32, Group>,
    panes: BTreeMap<i64, Pane>,
    /// State rows of a restore that is under way.
    restored: Vec<RecordBatch>,
}

/// Rows as they go to panes; a row that joins two sessions goes to both of their fragments, and counts in one.
#[derive(Default)]
struct PlacedRows {
    rows: Vec<u32>,
    times: Vec<EventTime>,
    fragments: Vec<EventTime>,
    parents: Vec<Option<EventTime>>,
    counts: Vec<bool>,
    panes: Vec<i64>,
}

impl PlacedRows {
    fn push(
        &mut self,
        row: usize,
        time: EventTime,
        fragment: EventTime,
        parent: Option<EventTime>,
        pane: i64,
    ) {
        self.rows.push(row as u32);
        self.times.push(time);
        self.fragments.push(fragment);
        self.parents.push(parent);
        self.counts.push(parent.is_none());
        self.panes.push(pane);
    }

    /// The rows' values with the operator's own columns.
    fn values(self, mut values: Values) -> Result<(Values, Vec<i64>), StageError> {
        let all = values.groups[0].len() == self.rows.len();
        let joins = self.counts.contains(&false);
        let in_order = all && self.rows.iter().enumerate().all(|(place, row)| place == *row as usize);
        if !in_order {
            values = values.take(&UInt32Array::from(self.rows))?;
        }
        let counts = joins.then(|| BooleanArray::from(self.counts));
        if let Some(counts) = &counts {
            for (_, filter) in &mut values.arguments {
                *filter = Some(match filter {
                    Some(filter) => and_kleene(filter, counts)?,
                    None => counts.clone(),
                });
            }
        }
        values.groups.push(Arc::new(Int64Array::from(self.fragments)));
        let times: ArrayRef = Arc::new(Int64Array::from(self.times));
        values.arguments.push((vec![Arc::clone(&times)], counts.clone()));
        values.arguments.push((vec![times], counts));
        values.arguments.push((vec![Arc::new(Int64Array::from(self.parents))], None));
        Ok((values, self.panes))
    }
}

/// Sessions that are over, some of them, with their rows' sum.
struct Firing<'a> {
    watermarks: &'a [i64],
    fired_at: &'a mut [i64],
    /// Each with its key group; its rows are summed under its number here.
    over: Vec<(u32, Session)>,
    /// Fragments that had become part of them.
    joined: Vec<(u32, (Key, EventTime))>,
    sum: Sum,
}

/// The columns of state rows that are the operator's own.
struct StateRows<'a> {
    groups: &'a [u32],
    keys: Vec<Key>,
    fragments: &'a Int64Array,
    first: &'a Int64Array,
    last: &'a Int64Array,
    parents: &'a Int64Array,
}

/// Hashes of the key of each row.
fn hashes(columns: &[ArrayRef], rows: usize) -> Vec<Key> {
    let keys = RowKeys::new(columns);
    let mut bytes = Vec::new();
    let hash = |row| {
        keys.write(row, &mut bytes);
        let wide = XxHash3_128::oneshot(&bytes);
        [wide as u64, (wide >> 64) as u64]
    };
    (0..rows).map(hash).collect()
}

impl SessionAggregate {
    /// `lets_go`: whether rows are sent while sessions go on, and not when they are over.
    pub(crate) fn new(
        mut plan: AggregatePlan,
        sessions: Sessions,
        keys: Vec<usize>,
        lets_go: bool,
    ) -> SessionAggregate {
        let changed = lets_go.then(HashSet::new);
        let (groups, panes) = (BTreeMap::new(), BTreeMap::new());
        // The fragments of a session are in one place.
        plan.place_by(keys.iter().map(|key| KEY_COLUMNS + key).collect());
        SessionAggregate { plan, sessions, keys, changed, groups, panes, restored: Vec::new() }
    }

    /// Whether groups are sent while their sessions go on.
    pub(crate) fn lets_go(&self) -> bool {
        self.changed.is_some()
    }

    /// Adds rows to sessions; the chunk's panes are their event times. Gives the places in the stage's input of rows
    /// that are late.
    pub(crate) fn update(
        &mut self,
        chunk: &Chunk,
        values: Values,
        late: &mut Vec<u32>,
    ) -> Result<(), StageError> {
        let times = chunk.panes.as_ref().expect("an aggregate has a window before it");
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(&values.groups[1 + key])).collect();
        let rule = (self.sessions, &self.plan.late);
        let mut placed = PlacedRows::default();
        let mut current: Option<(u32, &mut Group)> = None;
        for (row, key) in hashes(&keys, chunk.rows()).into_iter().enumerate() {
            let number = chunk.groups.value(row);
            if current.as_ref().is_none_or(|(at, _)| *at != number) {
                current = Some((number, self.groups.entry(number).or_default()));
            }
            let (_, group) = current.as_mut().expect("set just above");
            let (time, watermark) = (times.value(row), Watermark::from_raw(chunk.watermarks.value(row)));
            match group.place(rule, key, time, watermark) {
                None => late.push(chunk.origin.value(row)),
                Some(Placed { session, joined }) => {
                    if let Some(changed) = &mut self.changed {
                        changed.insert((number, key));
                    }
                    let pane = self.sessions.bucket(session.span);
                    placed.push(row, time, session.id, None, pane);
                    if let Some(joined) = joined {
                        placed.push(row, time, joined, Some(session.id), pane);
                    }
                }
            }
        }
        let (values, buckets) = placed.values(values)?;
        let (plan, panes) = (&self.plan, &mut self.panes);
        values.by_pane(&buckets, |key, values| Pane::at(panes, plan, key)?.update(&values))
    }

    /// The operator's own columns of state rows.
    fn state_rows<'a>(&self, rows: &'a RecordBatch) -> StateRows<'a> {
        let column = |at: usize| rows.column(at).as_primitive::<Int64Type>();
        let keys: Vec<ArrayRef> =
            self.keys.iter().map(|key| Arc::clone(rows.column(KEY_COLUMNS + key))).collect();
        let own = rows.num_columns() - HIDDEN.len();
        StateRows {
            groups: rows.column(0).as_primitive::<UInt32Type>().values(),
            keys: hashes(&keys, rows.num_rows()),
            fragments: column(self.plan.state_from() - 1),
            first: column(own),
            last: column(own + 1),
            parents: column(own + 2),
        }
    }

    /// Gives the result of every session that is over at these watermarks (one for each key group). `fired_at` is raised to
    /// the watermark at which the last of them is over. Of groups that are sent while they go on: what has changed, where that
    /// is due or goes.
    pub(crate) fn fire(
        &mut self,
        watermarks: &[i64],
        fired_at: &mut [i64],
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        if !self.lets_go() {
            return self.close(watermarks, fired_at, faults, give);
        }
        let due = self.due(watermarks, updates);
        self.send(&due, faults, give)?;
        // What they give was sent, and what could not be summed up was told then.
        let fired_at = &mut vec![Watermark::NONE.to_raw(); fired_at.len()];
        self.close(watermarks, fired_at, &mut Faults::new(), &mut |_, _| Ok(()))
    }

    /// The keys that have changed and are sent: all of them, or those that have a session which is over.
    fn due(&mut self, watermarks: &[i64], updates: Updates) -> Vec<(u32, Key)> {
        let Some(changed) = &mut self.changed else { return Vec::new() };
        let (sessions, late, groups) = (self.sessions, &self.plan.late, &self.groups);
        let of = |(number, key): (u32, Key)| groups.get(&number).into_iter().flat_map(move |g| g.of_key(key));
        let is_over = |of_key: (u32, Key)| {
            let watermark = Watermark::from_raw(watermarks[of_key.0 as usize]);
            of(of_key).any(|s| late.fired(sessions.closes_at(s.span), watermark))
        };
        match updates {
            Updates::Due => changed.drain().collect(),
            Updates::Wait => changed.extract_if(|of_key| is_over(*of_key)).collect(),
        }
    }

    /// Gives the rows of some keys.
    fn send(&mut self, due: &[(u32, Key)], faults: &mut Faults, give: Give<'_>) -> Result<(), StageError> {
        let groups = &self.groups;
        let of = |(number, key): (u32, Key)| groups.get(&number).into_iter().flat_map(move |g| g.of_key(key));
        // Of each key its latest session, and its place among those.
        let latest = due.iter().zip(0i64..).filter_map(|(key, place)| {
            Some((*key, (of(*key).max_by_key(|session| session.span.last)?.id, place)))
        });
        let latest: HashMap<(u32, Key), (EventTime, i64)> = latest.collect();
        if latest.is_empty() {
            return Ok(());
        }
        let mut key_groups: Vec<u32> = latest.keys().map(|(group, _)| *group).collect();
        key_groups.sort_unstable();
        let mut runs = Vec::new();
        for pane in self.panes.values_mut() {
            runs.extend(pane.runs(&self.plan)?);
        }
        let wanted = |_: usize, group: u32| key_groups.binary_search(&group).is_ok();
        let portions = Portions::new(&runs, &self.plan.placed_by, wanted)?;
        for range in portions.ranges() {
            let mut sum = Sum::new(&self.plan)?;
            portions.each(&range, wanted, |_, rows| {
                let state = self.state_rows(rows);
                let (mut taken, mut places) = (Vec::new(), Vec::new());
                for (row, number) in state.groups.iter().enumerate() {
                    let key = state.keys[row];
                    let Some((id, place)) = latest.get(&(*number, key)) else { continue };
                    let root =
                        self.groups.get(number).map(|group| group.root(key, state.fragments.value(row)));
                    if root == Some(*id) {
                        taken.push(row as u32);
                        places.push(*place);
                    }
                }
                self.add(&mut sum, &take_record_batch(rows, &UInt32Array::from(taken))?, places)
            })?;
            if !sum.is_empty() {
                let rows = sum.into_results(&self.plan)?;
                let none = vec![0; rows.groups.len()];
                give(self.plan.output(rows, (none.clone(), none), faults)?, faults)?;
            }
        }
        Ok(())
    }

    /// Adds state rows to the sum of their sessions, which have these places: not by fragment.
    fn add(&self, sum: &mut Sum, rows: &RecordBatch, places: Vec<i64>) -> Result<(), StageError> {
        let mut columns = rows.columns().to_vec();
        columns[self.plan.state_from() - 1] = Arc::new(Int64Array::from(places));
        sum.merge(&self.plan, &RecordBatch::try_new(rows.schema(), columns)?)
    }

    /// Gives the result of every session that is over at these watermarks, which are let go of.
    fn close(
        &mut self,
        watermarks: &[i64],
        fired_at: &mut [i64],
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let reached = |at: EventTime, group: u32| {
            self.plan.late.fired(at, Watermark::from_raw(watermarks[group as usize]))
        };
        // What the panes that are reached hold: of each run its pane, its layer, and the key groups that are due.
        let (mut taken, mut runs) = (Vec::new(), Vec::new());
        for (bucket, pane) in &mut self.panes {
            let due: Vec<u32> = pane.members().filter(|group| reached(*bucket, *group)).collect();
            if due.is_empty() {
                continue;
            }
            let due_here: Arc<[u32]> = due.as_slice().into();
            for (layer, run) in pane.take(&self.plan, &due)? {
                taken.push((*bucket, layer, Arc::clone(&due_here)));
                runs.push(run);
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        let wanted = |run: usize, group: u32| taken[run].2.binary_search(&group).is_ok();
        let portions = Portions::new(&runs, &self.plan.placed_by, wanted)?;
        for range in portions.ranges() {
            let mut firing = Firing {
                watermarks,
                fired_at,
                over: Vec::new(),
                joined: Vec::new(),
                sum: Sum::new(&self.plan)?,
            };
            portions.each(&range, wanted, |run, rows| {
                let (bucket, layer, _) = &taken[run];
                self.fire_rows(rows, (*bucket, *layer), &mut firing)
            })?;
            if let Some(chunk) = self.fired(firing, faults)? {
                give(chunk, faults)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        self.groups.retain(|_, group| !group.sessions.is_empty());
        Ok(())
    }

    /// Adds rows of a pane that was reached to their sessions, where those are over; the others go on to the pane of their
    /// session's end.
    fn fire_rows(
        &mut self,
        rows: &RecordBatch,
        (bucket, layer): (i64, Layer),
        firing: &mut Firing<'_>,
    ) -> Result<(), StageError> {
        let state = self.state_rows(rows);
        let mut due: (Vec<u32>, Vec<EventTime>) = Default::default();
        let mut stay: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, number) in state.groups.iter().enumerate() {
            let group = self.groups.get_mut(number).expect("a group with rows");
            let root = group.root(state.keys[row], state.fragments.value(row));
            let session = group.find_mut(state.keys[row], root);
            let closes = self.sessions.closes_at(session.span);
            if !self.plan.late.fired(closes, Watermark::from_raw(firing.watermarks[*number as usize])) {
                stay.entry(self.sessions.bucket(session.span)).or_default().push(row as u32);
                continue;
            }
            let place = session.over.unwrap_or(firing.over.len() as u32);
            if session.over.is_none() {
                session.over = Some(place);
                firing.over.push((*number, *session));
            }
            if root != state.fragments.value(row) {
                firing.joined.push((*number, (state.keys[row], state.fragments.value(row))));
            }
            due.0.push(row as u32);
            due.1.push(EventTime::from(place));
            let at = &mut firing.fired_at[*number as usize];
            *at = self.plan.late.fires_at(closes).max(*at);
        }
        for (to, places) in stay {
            debug_assert!(bucket <= to, "sessions only grow");
            let rows = match places.len() == rows.num_rows() {
                true => rows.clone(),
                false => take_record_batch(rows, &UInt32Array::from(places))?,
            };
            Pane::at(&mut self.panes, &self.plan, to)?.put(rows, layer);
        }
        if !due.0.is_empty() {
            let due_rows = take_record_batch(rows, &UInt32Array::from(due.0))?;
            self.add(&mut firing.sum, &due_rows, due.1)?;
        }
        Ok(())
    }

    /// The results of sessions that are over, which are let go of.
    fn fired(&mut self, firing: Firing<'_>, faults: &mut Faults) -> Result<Option<Chunk>, StageError> {
        let Firing { over, joined, sum, .. } = firing;
        if over.is_empty() {
            return Ok(None);
        }
        let windows: Vec<Window> = over.iter().map(|(_, s)| self.sessions.window(s.span)).collect();
        for (number, session) in over {
            self.groups.get_mut(&number).expect("a group with sessions").remove(session);
        }
        // Every fragment has rows, so that none is left behind.
        for (number, fragment) in joined {
            self.groups.get_mut(&number).expect("a group with sessions").parents.remove(&fragment);
        }
        Ok(Some(self.output(sum, &windows, faults)?))
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for pane in self.panes.values_mut() {
            rows.extend(pane.delta(&self.plan)?);
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Everything of these key groups, as state rows.
    pub(crate) fn all(&mut self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let rows: Result<Vec<RecordBatch>, StageError> =
            self.panes.values().map(|pane| pane.all(&self.plan, wanted)).collect();
        Ok(concat_batches(&self.plan.state_schema, &rows?)?)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let rows = part(batch, |group| owned.has(group))?;
        if rows.num_rows() > 0 {
            self.restored.push(rows);
        }
        Ok(())
    }

    /// Ends a restore: makes sessions of the rows that came, but for those that had fired at these watermarks.
    pub(crate) fn finish_restore(&mut self, watermarks: &[i64]) -> Result<(), StageError> {
        let restored = std::mem::take(&mut self.restored);
        let mut fragments: HashMap<(u32, Key, EventTime), Fragment> = HashMap::new();
        for rows in &restored {
            let state = self.state_rows(rows);
            for (row, group) in state.groups.iter().enumerate() {
                let at = (*group, state.keys[row], state.fragments.value(row));
                let Fragment { span, parent } = fragments.entry(at).or_default();
                if state.first.is_valid(row) {
                    let new = SessionSpan { first: state.first.value(row), last: state.last.value(row) };
                    *span = Some(span.map_or(new, |known| known.and(new)));
                }
                if state.parents.is_valid(row) {
                    *parent = Some(state.parents.value(row));
                }
            }
        }
        let root = |group: u32, key: Key, mut fragment: EventTime| {
            while let Some(Fragment { parent: Some(parent), .. }) = fragments.get(&(group, key, fragment)) {
                fragment = *parent;
            }
            fragment
        };
        let mut spans: HashMap<(u32, Key, EventTime), SessionSpan> = HashMap::new();
        for ((group, key, fragment), Fragment { span, .. }) in &fragments {
            if let Some(span) = span {
                let known = spans.entry((*group, *key, root(*group, *key, *fragment))).or_insert(*span);
                *known = known.and(*span);
            }
        }
        spans.retain(|(group, ..), span| {
            let watermark = Watermark::from_raw(watermarks[*group as usize]);
            !self.plan.late.fired(self.sessions.closes_at(*span), watermark)
        });
        for ((group, key, id), span) in &spans {
            let session = Session { key: *key, id: *id, span: *span, over: None };
            let group = self.groups.entry(*group).or_default();
            group.sessions.insert_unique(key[0], session, |s| s.key[0]);
        }
        for ((group, key, fragment), Fragment { parent, .. }) in &fragments {
            let open = spans.contains_key(&(*group, *key, root(*group, *key, *fragment)));
            if let (Some(changed), true) = (&mut self.changed, open) {
                changed.insert((*group, *key));
            }
            if let (Some(parent), true) = (parent, open) {
                let group = self.groups.entry(*group).or_default();
                group.parents.insert((*key, *fragment), *parent);
            }
        }
        for rows in &restored {
            let state = self.state_rows(rows);
            let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
            for (row, group) in state.groups.iter().enumerate() {
                let at = (*group, state.keys[row], root(*group, state.keys[row], state.fragments.value(row)));
                if let Some(span) = spans.get(&at) {
                    places.entry(self.sessions.bucket(*span)).or_default().push(row as u32);
                }
            }
            for (bucket, places) in places {
                let rows = take_record_batch(rows, &UInt32Array::from(places))?;
                Pane::at(&mut self.panes, &self.plan, bucket)?.restore(rows);
            }
        }
        Ok(())
    }

    /// Makes a restore of what is here, to which more records may come. What ends it makes sessions of all of them.
    pub(crate) fn reopen(&mut self) -> Result<(), StageError> {
        for pane in self.panes.values_mut() {
            for run in pane.runs(&self.plan)? {
                run.each(
                    |_| true,
                    |rows| {
                        self.restored.push(rows.clone());
                        Ok(())
                    },
                )?;
            }
        }
        self.panes.clear();
        self.groups.clear();
        Ok(())
    }

    /// Makes few runs of the many that the records of a changelog were.
    pub(crate) fn settle(&mut self) -> Result<(), StageError> {
        self.panes.values_mut().try_for_each(|pane| pane.settle_runs(&self.plan))
    }

    /// What every open session holds: what it would give if it were over now. Changes nothing.
    pub(crate) fn open(
        &mut self,
        mut give: impl FnMut(Chunk) -> Result<(), StageError>,
        faults: &mut Faults,
    ) -> Result<(), StageError> {
        if self.lets_go() {
            let of = |(number, group): (&u32, &Group)| -> Vec<(u32, Key)> {
                group.sessions.iter().map(|session| (*number, session.key)).collect()
            };
            let all: HashSet<(u32, Key)> = self.groups.iter().flat_map(of).collect();
            let all: Vec<(u32, Key)> = all.into_iter().collect();
            return self.send(&all, faults, &mut |chunk, _| give(chunk));
        }
        let mut runs = Vec::new();
        for pane in self.panes.values_mut() {
            runs.extend(pane.runs(&self.plan)?);
        }
        let mut places: HashMap<(u32, Key, EventTime), usize> = HashMap::new();
        let mut windows: Vec<Window> = Vec::new();
        let mut sum = Sum::new(&self.plan)?;
        for run in &runs {
            run.each(
                |_| true,
                |rows| {
                    let state = self.state_rows(rows);
                    let place = |(row, number): (usize, &u32)| {
                        let group = &self.groups[number];
                        let (key, fragment) = (state.keys[row], state.fragments.value(row));
                        let root = group.root(key, fragment);
                        *places.entry((*number, key, root)).or_insert_with(|| {
                            let of = |s: &&Session| s.key == key && s.id == root;
                            let session = group.sessions.iter_hash(key[0]).find(of);
                            let session = session.expect("a fragment has its session");
                            windows.push(self.sessions.window(session.span));
                            windows.len() - 1
                        }) as i64
                    };
                    let by = state.groups.iter().enumerate().map(place).collect();
                    self.add(&mut sum, rows, by)
                },
            )?;
        }
        if sum.is_empty() { Ok(()) } else { give(self.output(sum, &windows, faults)?) }
    }

    /// The results of sessions, whose numbers rows have as their last key.
    fn output(&self, sum: Sum, windows: &[Window], faults: &mut Faults) -> Result<Chunk, StageError> {
        let results = sum.into_results(&self.plan)?;
        let places = results.keys.last().expect("the session is a key").as_primitive::<Int64Type>().clone();
        let of = |bound: fn(&Window) -> EventTime| {
            places.values().iter().map(|place| bound(&windows[*place as usize])).collect()
        };
        let bounds = (of(|window| window.start), of(|window| window.end));
        self.plan.output(results, bounds, faults)
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        self.groups.retain(|group, _| !groups.has(*group));
        if let Some(changed) = &mut self.changed {
            changed.retain(|(of, _)| !groups.has(*of));
        }
        for pane in self.panes.values_mut() {
            let gone: Vec<u32> = pane.members().filter(|member| groups.has(*member)).collect();
            if !gone.is_empty() {
                pane.forget(&self.plan, &gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        for rows in &mut self.restored {
            *rows = part(rows, |member| !groups.has(member))?;
        }
        Ok(())
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free; which sessions are open stays in memory.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        self.panes.values_mut().rev().try_for_each(|pane| pane.spill(&self.plan, spill, bytes))
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.panes.values().map(Pane::disk_size).sum()
    }

    pub(crate) fn size(&self) -> usize {
        let parent = size_of::<((Key, EventTime), EventTime)>();
        let of = |group: &Group| group.sessions.allocation_size() + group.parents.capacity() * parent;
        let changed = self.changed.as_ref().map_or(0, |changed| changed.capacity() * size_of::<(u32, Key)>());
        let restored = self.restored.iter().map(RecordBatch::get_array_memory_size);
        changed
            + self.groups.values().map(of).sum::<usize>()
            + self.panes.values().map(Pane::size).sum::<usize>()
            + restored.sum::<usize>()
    }

    /// Open sessions.
    pub(crate) fn entries(&self) -> usize {
        self.groups.values().map(|group| group.sessions.len()).sum()
    }
}

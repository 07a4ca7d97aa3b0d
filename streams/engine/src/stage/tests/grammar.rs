//! Queries that are drawn from the grammar that runs, each in a world of the rig that knows its kind: what comes out is what the
//! batch engine gives for the same text. Here is what all kinds share: what becomes of a query, and how one that fails is made
//! shorter. A query that the engine refuses shows nothing; how many there are is printed and has a bound.

mod aggregates;
mod exprs;
mod groups;
mod joins;
mod latest;
mod over_time;
mod windows;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use millstream_types::{Rng, SeededRng};

use super::batch::NO_ANSWER;
use exprs::{Exprs, Kind};
pub(super) use windows::Rows;

/// A query of one kind.
trait Drawn: Sized {
    fn any(rng: &mut SeededRng) -> Self;

    fn text(&self) -> String;

    /// The same query with one part less, for each part that it can do without.
    fn shorter(&self) -> Vec<Self>;

    /// Runs it in the world of a seed; how many rows came out, or why the engine refuses it. Panics where they are not those of a
    /// batch engine.
    fn check(&self, seed: u64) -> Result<usize, String>;
}

/// What became of a query.
enum Outcome {
    Rows(usize),
    Refused(String),
    NoAnswer(String),
    Wrong(String),
}

thread_local! {
    /// Whether panics of this thread are taken up, and not told.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Where the last of them was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

fn attempt(seed: u64, query: &impl Drawn) -> Outcome {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| match QUIET.get() {
            true => PLACE.set(info.location().map(ToString::to_string).unwrap_or_default()),
            false => before(info),
        }));
    });
    QUIET.set(true);
    let came = catch_unwind(AssertUnwindSafe(|| query.check(seed)));
    QUIET.set(false);
    match came {
        Ok(Ok(rows)) => Outcome::Rows(rows),
        Ok(Err(refusal)) => Outcome::Refused(refusal),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.unwrap_or_default();
            let answered = text.strip_prefix(NO_ANSWER).map(str::to_owned);
            answered.map_or_else(|| Outcome::Wrong(format!("{}: {text}", PLACE.take())), Outcome::NoAnswer)
        }
    }
}

/// The shortest query that still fails, and how.
fn shortened<D: Drawn>(seed: u64, mut query: D, mut wrong: String) -> (D, String) {
    loop {
        let next = query.shorter().into_iter().find_map(|shorter| match attempt(seed, &shorter) {
            Outcome::Wrong(text) => Some((shorter, text)),
            _ => None,
        });
        match next {
            Some(next) => (query, wrong) = next,
            None => return (query, wrong),
        }
    }
}

/// Runs a query of each seed: as many as MILLSTREAM_SEEDS says, or the one of MILLSTREAM_SEED.
fn hunt<D: Drawn>(kind: &str, seeds: u64) {
    let number = |name| std::env::var(name).ok().and_then(|n: String| n.parse::<u64>().ok());
    let one = number("MILLSTREAM_SEED");
    let all = 0..number("MILLSTREAM_SEEDS").unwrap_or(seeds);
    let (mut ran, mut empty, mut rows) = (0, 0, 0);
    let (mut refused, mut unanswered) =
        (BTreeMap::<String, Vec<u64>>::new(), BTreeMap::<String, Vec<u64>>::new());
    let mut wrong = Vec::new();
    for seed in one.map_or(all, |one| one..one + 1) {
        // Apart from what the world is drawn from.
        let query = D::any(&mut SeededRng::new(seed ^ 0x6772_616d_6d61_7221));
        if one.is_some() {
            println!("{}", query.text());
        }
        match attempt(seed, &query) {
            Outcome::Rows(0) => empty += 1,
            Outcome::Rows(came) => (ran, rows) = (ran + 1, rows + came),
            Outcome::Refused(why) => refused.entry(brief(&why)).or_default().push(seed),
            Outcome::NoAnswer(why) => unanswered.entry(brief(&why)).or_default().push(seed),
            Outcome::Wrong(text) => {
                let drawn = query.text();
                let (short, text) = shortened(seed, query, text);
                let text: String = text.chars().take(4_000).collect();
                println!("{kind}, seed {seed}:\n{}\nof\n{drawn}\n{text}", short.text());
                wrong.push(seed);
                if wrong.len() == 20 {
                    break;
                }
            }
        }
    }
    let mut told = format!("{kind}: {ran} queries gave {rows} rows, {empty} gave none");
    for (title, of) in [("refused", &refused), ("the batch engine cannot answer", &unanswered)] {
        let _ = write!(told, "; {} {title}", of.values().map(Vec::len).sum::<usize>());
        for (why, seeds) in of {
            let _ = write!(told, "\n  {} (seed {}): {why}", seeds.len(), seeds[0]);
        }
    }
    println!("{told}");
    assert!(wrong.is_empty(), "{kind}: queries of seeds {wrong:?} are wrong, see above");
    let [refused, unanswered] = [refused, unanswered].map(|of| of.values().map(Vec::len).sum::<usize>());
    let whole = ran + empty + refused + unanswered;
    if one.is_none() && whole >= 20 {
        assert!(refused * 5 <= whole && unanswered * 20 <= whole, "too few queries run: {told}");
        assert!(empty * 2 <= whole && rows > 5 * whole, "the worlds are too tame: {told}");
    }
}

/// Its end says what is the matter.
fn brief(text: &str) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(160)).collect()
}

fn pick<T: Clone>(rng: &mut SeededRng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize].clone()
}

/// Conditions behind a word, or nothing.
fn and(word: &str, conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!("{word} {}", conditions.join(" AND ")) }
}

fn conditions(exprs: &mut Exprs<'_>, most: u64) -> Vec<String> {
    let count = if exprs.rng.chance(1, 2) { 0 } else { exprs.rng.below(most + 1) };
    (0..count).map(|_| exprs.condition()).collect()
}

/// What rows are grouped by beside what is known: columns, and what is computed of them.
fn keys(exprs: &mut Exprs<'_>, known: &[&str]) -> Vec<String> {
    let mut keys = Vec::new();
    for _ in 0..exprs.rng.below(3) {
        let kind = pick(exprs.rng, &[Kind::Int, Kind::Bool, Kind::Text, Kind::Money, Kind::Float]);
        let depth = exprs.rng.below(3) as usize;
        let key = exprs.of(kind, depth);
        // One that is no constant.
        if key.contains("i.") && !known.contains(&key.as_str()) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Each list with one of its entries less, put into the whole by `set`.
fn without_one<W: Clone, T: Clone>(whole: &W, list: impl Fn(&mut W) -> &mut Vec<T>) -> Vec<W> {
    let count = list(&mut whole.clone()).len();
    let less = |at| {
        let mut less = whole.clone();
        list(&mut less).remove(at);
        less
    };
    (0..count).map(less).collect()
}

#[test]
fn drawn_queries_over_windows_give_the_batch_answer() {
    hunt::<windows::WindowQuery>("windows", 40);
}

#[test]
fn drawn_queries_of_groups_give_the_batch_answer() {
    hunt::<groups::GroupQuery>("groups", 20);
}

#[test]
fn drawn_joins_give_the_batch_answer() {
    hunt::<joins::JoinQuery>("joins", 30);
}

#[test]
fn drawn_functions_over_a_stream_give_the_batch_answer() {
    hunt::<over_time::OverQuery>("functions OVER a stream", 20);
}

#[test]
fn drawn_queries_of_latest_rows_give_the_batch_answer() {
    hunt::<latest::LatestQuery>("rows that take the place of each other", 20);
}

//! What the rows of a frame that moves come to: each row is added once, and taken away once. Whole numbers and decimals are
//! taken off again, which is exact. Doubles are not, since what is large would take what is small with it, and no number
//! would never go again: they are kept as two stacks, as are none that can be the least any more. Never enters: where rows are.

use std::collections::VecDeque;

use super::function::{Number, Sum, Total};

/// The rows from `start` to `end` of a key, by their numbers there.
#[derive(Debug)]
pub(crate) struct Slide {
    pub(crate) start: u64,
    pub(crate) end: u64,
    count: i64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Nothing,
    Whole(i128),
    Doubles(Box<Stacks>),
    /// Rows that may still be the least, with what they are compared by; both rise.
    Least(VecDeque<(u64, i128, Number)>),
}

/// The sums of doubles of the rows before `middle`, from each on, the first row's last; and of those behind it.
#[derive(Debug, Default)]
struct Stacks {
    front: Vec<f64>,
    middle: u64,
    back: f64,
}

impl Slide {
    pub(crate) fn new(total: Total, doubles: bool, from: u64) -> Slide {
        let held = match total {
            Total::Count => Held::Nothing,
            Total::Sum | Total::Mean if doubles => {
                Held::Doubles(Box::new(Stacks { middle: from, ..Stacks::default() }))
            }
            Total::Sum | Total::Mean => Held::Whole(0),
            Total::Least | Total::Greatest => Held::Least(VecDeque::new()),
        };
        Slide { start: from, end: from, count: 0, held }
    }

    /// Makes it go over the rows from `start` to `end`, neither of which falls. `number` gives a row's, if it counts.
    pub(crate) fn go(
        &mut self,
        (start, end): (u64, u64),
        greatest: bool,
        number: impl Fn(u64) -> Option<Number>,
    ) {
        // Of rows that no frame will hold any more none is added.
        if start >= end.max(self.end) {
            self.clear(start);
            return;
        }
        while self.end < end {
            let row = self.end;
            self.end += 1;
            if let Some(number) = number(row) {
                self.add(row, number, greatest);
            }
        }
        let start = start.min(self.end);
        while self.start < start {
            self.take_first(&number);
        }
    }

    fn clear(&mut self, at: u64) {
        (self.start, self.end, self.count) = (at, at, 0);
        match &mut self.held {
            Held::Nothing => {}
            Held::Whole(sum) => *sum = 0,
            Held::Doubles(stacks) => **stacks = Stacks { middle: at, ..Stacks::default() },
            Held::Least(rows) => rows.clear(),
        }
    }

    fn add(&mut self, row: u64, number: Number, greatest: bool) {
        self.count += 1;
        match (&mut self.held, number) {
            (Held::Whole(sum), Number::Whole(value)) => *sum = sum.wrapping_add(value),
            (Held::Doubles(stacks), Number::Double(value)) => stacks.back += value,
            (Held::Least(rows), number) => {
                let by = if greatest { !number.rank() } else { number.rank() };
                while rows.back().is_some_and(|(_, last, _)| *last >= by) {
                    rows.pop_back();
                }
                rows.push_back((row, by, number));
            }
            _ => {}
        }
    }

    fn take_first(&mut self, number: &impl Fn(u64) -> Option<Number>) {
        let row = self.start;
        let gone = number(row);
        self.count -= i64::from(gone.is_some());
        match &mut self.held {
            Held::Nothing => {}
            Held::Whole(sum) => {
                if let Some(Number::Whole(value)) = gone {
                    *sum = sum.wrapping_sub(value);
                }
            }
            Held::Doubles(stacks) => {
                if row >= stacks.middle {
                    // All rows go to the front.
                    let mut sum = 0.0;
                    for row in (row..self.end).rev() {
                        if let Some(Number::Double(value)) = number(row) {
                            sum += value;
                        }
                        stacks.front.push(sum);
                    }
                    (stacks.middle, stacks.back) = (self.end, 0.0);
                }
                stacks.front.pop();
            }
            Held::Least(rows) => {
                if rows.front().is_some_and(|(first, ..)| *first == row) {
                    rows.pop_front();
                }
            }
        }
        self.start += 1;
    }

    /// What the rows come to.
    pub(crate) fn sum(&self) -> Sum {
        let number = match &self.held {
            Held::Nothing => Number::Whole(0),
            Held::Whole(sum) => Number::Whole(*sum),
            Held::Doubles(stacks) => Number::Double(stacks.front.last().unwrap_or(&0.0) + stacks.back),
            Held::Least(rows) => rows.front().map_or(Number::Whole(0), |(.., number)| *number),
        };
        Sum { count: self.count, number }
    }

    /// Bytes besides its own.
    pub(crate) fn size(&self) -> usize {
        match &self.held {
            Held::Nothing | Held::Whole(_) => 0,
            Held::Doubles(stacks) => size_of::<Stacks>() + stacks.front.capacity() * 8,
            Held::Least(rows) => rows.capacity() * size_of::<(u64, i128, Number)>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind over every way that a frame of drawn numbers can move, against what is added up anew.
    #[test]
    fn a_frame_that_moves_is_what_its_rows_come_to() {
        use millstream_types::{Rng, SeededRng};
        for seed in 0..300 {
            let mut rng = SeededRng::new(seed);
            let doubles = rng.chance(1, 2);
            let draw = |rng: &mut SeededRng| -> Option<Number> {
                let value = rng.below(20) as i64 - 10;
                let number = if doubles {
                    Number::Double(value as f64 / 4.0)
                } else {
                    Number::Whole(i128::from(value))
                };
                (!rng.chance(1, 5)).then_some(number)
            };
            let rows: Vec<Option<Number>> = (0..60).map(|_| draw(&mut rng)).collect();
            for total in [Total::Count, Total::Sum, Total::Least, Total::Greatest] {
                let (mut slide, mut start, mut end) = (Slide::new(total, doubles, 0), 0, 0);
                while end < 60 {
                    end = (end + rng.below(4)).min(60);
                    start = (start + rng.below(5)).min(60);
                    slide.go((start, end), total == Total::Greatest, |row| rows[row as usize]);
                    let held: Vec<Number> = (start..end).filter_map(|row| rows[row as usize]).collect();
                    let best = |a: &Number, b: &Number| a.rank().cmp(&b.rank());
                    let number = match total {
                        Total::Sum | Total::Mean => held.iter().copied().reduce(Number::plus),
                        Total::Least => held.iter().copied().min_by(best),
                        Total::Greatest => held.iter().copied().max_by(best),
                        Total::Count => None,
                    };
                    let sum = slide.sum();
                    assert_eq!(sum.count, held.len() as i64, "seed {seed} {total:?} {start} {end}");
                    if let Some(number) = number {
                        assert_eq!(sum.number, number, "seed {seed} {total:?} {start} {end}");
                    }
                }
            }
        }
    }

    /// What cannot be taken off again does not stay either.
    #[test]
    fn what_is_no_number_leaves_with_its_row() {
        let rows = [f64::NAN, f64::INFINITY, 1e300, 0.25, 0.5, 0.125];
        let mut slide = Slide::new(Total::Sum, true, 0);
        let number = |row: u64| Some(Number::Double(rows[row as usize]));
        for end in 1..=6u64 {
            slide.go((end.saturating_sub(3), end), false, number);
        }
        assert_eq!(slide.sum().number, Number::Double(0.875));
    }
}

//! Messages as encoders write them: their fields in the order of the numbers, each of them once or, if it is repeated,
//! one behind the other. Such a message fills its columns in one go. At the first surprise this gives up, whether the
//! record is good or bad, and it is read anew by `decode`, whose verdict counts. Never enters: why a record is refused.

use super::decode::{Leaf, Reading, Seen, absent};
use super::plan::{NONE, Plan, Source, Take};
use super::wire::{Field, Span, read_field};
use crate::column::Column;
use crate::object::{Declared, Object};

impl Reading<'_> {
    /// Reads a message into a row of `object`, which holds a part of it if this gives up.
    pub(super) fn in_order(&mut self, plan: &Plan, object: &mut Object, span: Span) -> Option<()> {
        let (mut at, end) = (span.start as usize, span.end as usize);
        let part = self.record.get(..end)?;
        let mut rank = 0;
        let mut oneofs = 0u64;
        let mut found = Field::default();
        while at < end {
            read_field(part, at, &mut found).ok()?;
            at = found.next as usize;
            let route = plan.route(found.number);
            if route.oneof != NONE {
                let bit = 1u64.checked_shl(u32::from(route.oneof))?;
                if oneofs & bit != 0 {
                    return None;
                }
                oneofs |= bit;
            }
            if route.slot == NONE {
                continue;
            }
            let next = usize::from(route.rank);
            if next < rank {
                return None;
            }
            self.absent(plan, object, rank..next, end)?;
            rank = next + 1;
            let declared = object.declared.get_mut(usize::from(route.slot))?;
            let source = plan.slots.get(usize::from(route.slot))?.source.as_ref()?;
            if source.repeated {
                at = self.run(source, declared, part, &mut found)?;
            } else if found.wire == source.wire {
                self.single(source, declared, &found, end)?;
            } else {
                return None;
            }
        }
        self.absent(plan, object, rank..plan.order.len(), end)?;
        for slot in &plan.without {
            absent(object.declared.get_mut(usize::from(*slot))?, end).ok()?;
        }
        Some(())
    }

    /// Fills the columns of fields that are not there.
    fn absent(
        &mut self,
        plan: &Plan,
        object: &mut Object,
        ranks: std::ops::Range<usize>,
        end: usize,
    ) -> Option<()> {
        for slot in plan.order.get(ranks)? {
            let source = plan.slots.get(usize::from(*slot))?.source.as_ref()?;
            let declared = object.declared.get_mut(usize::from(*slot))?;
            self.column(source, declared, Seen::default(), &[], end).ok()?;
        }
        Some(())
    }

    #[inline]
    fn single(&mut self, source: &Source, declared: &mut Declared, found: &Field, end: usize) -> Option<()> {
        if source.empty_is_absent && found.value.is_empty() {
            return absent(declared, end).ok();
        }
        let leaf = Leaf { take: &source.take, path: &declared.path };
        self.value(&leaf, &mut declared.column, found)
    }

    #[inline]
    fn value(&mut self, leaf: &Leaf<'_>, column: &mut Column, found: &Field) -> Option<()> {
        match (leaf.take, column) {
            (Take::Scalar(scalar), column) => {
                let bytes = found.value.of(self.record);
                self.scalar(scalar, column, leaf.path, found.raw, bytes, found.value).ok()
            }
            (Take::Struct(plan), Column::Struct { object, rows, nulls, .. }) => {
                self.in_order(plan, object, found.value)?;
                Column::struct_done(rows, nulls);
                Some(())
            }
            (_, column) => self.one(leaf, column, &[found.value]).ok(),
        }
    }

    /// The values of a repeated field, one behind the other; where the next field is.
    fn run(
        &mut self,
        source: &Source,
        declared: &mut Declared,
        part: &[u8],
        found: &mut Field,
    ) -> Option<usize> {
        let leaf = Leaf { take: &source.take, path: &declared.path };
        let Column::List { item, items, ends, nulls, read, .. } = &mut declared.column else { return None };
        loop {
            match &source.take {
                Take::Scalar(scalar) if source.packable && found.wire != source.wire => {
                    if !source.fits(found.wire) {
                        return None;
                    }
                    *items += self.packed(scalar, leaf.path, item, found.value).ok()? * i32::from(*read);
                }
                _ if found.wire != source.wire => return None,
                _ => {
                    self.value(&leaf, item, found)?;
                    *items += i32::from(*read);
                }
            }
            let at = found.next as usize;
            if at < part.len() {
                read_field(part, at, found).ok()?;
            }
            if at == part.len() || found.number != source.number {
                if *read {
                    Column::list_done(*items, ends, nulls);
                }
                return Some(at);
            }
        }
    }
}

//! An object's shape: the fields that the schema declares, and what JSON's scanner has learnt of the order, spelling and
//! white space of its keys. Learning changes speed only, never a verdict. Other formats use the fields alone.

use arrow::array::ArrayRef;
use arrow::datatypes::Fields;

use crate::SchemaError;
use crate::column::Column;

/// How many keys a shape learns. Also the most declared fields that the scanner takes on, one bit each; an object with
/// more is `serde_json`'s.
pub(crate) const KEYS_MAX: usize = 64;
/// The longest key literal that is learnt, quotes, colon and white space included.
const LITERAL_BYTES_MAX: usize = 32;

/// A declared field.
pub(crate) struct Declared {
    pub(crate) name: Box<str>,
    /// Dotted, from the record's root.
    pub(crate) path: Box<str>,
    pub(crate) required: bool,
    pub(crate) column: Column,
}

/// What stands behind a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The declared field of this index.
    Declared(u16),
    /// A value that the schema does not name; objects in it have the shape of this index in `others`.
    Other(u16),
}

/// A key as it was last spelled: quotes, colon and white space, from behind the `{` or `,` to the value.
pub(crate) struct Step {
    literal: [u64; 4],
    mask: [u64; 4],
    len: usize,
    pub(crate) target: Target,
}

impl Step {
    pub(crate) fn new(text: &[u8], target: Target) -> Option<Step> {
        if text.len() > LITERAL_BYTES_MAX {
            return None;
        }
        let (mut bytes, mut mask) = ([0; LITERAL_BYTES_MAX], [0; LITERAL_BYTES_MAX]);
        bytes[..text.len()].copy_from_slice(text);
        mask[..text.len()].fill(0xff);
        Some(Step { literal: words(&bytes), mask: words(&mask), len: text.len(), target })
    }

    /// Where the value starts, if this key stands at `at`.
    #[inline(always)]
    pub(crate) fn matches(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let window = bytes.get(at..)?;
        if let Some(head) = window.first_chunk::<16>() {
            let differs = ((word(head, 0) ^ self.literal[0]) & self.mask[0])
                | ((word(head, 8) ^ self.literal[1]) & self.mask[1]);
            if differs != 0 {
                return None;
            }
            if self.len <= 16 {
                return Some(at + self.len);
            }
            if let Some(all) = window.first_chunk::<32>() {
                let differs = ((word(all, 16) ^ self.literal[2]) & self.mask[2])
                    | ((word(all, 24) ^ self.literal[3]) & self.mask[3]);
                return (differs == 0).then_some(at + self.len);
            }
        }
        self.matches_slowly(window).then_some(at + self.len)
    }

    /// The same near a record's end.
    fn matches_slowly(&self, window: &[u8]) -> bool {
        let mut bytes = [0; LITERAL_BYTES_MAX];
        for (to, from) in bytes.chunks_exact_mut(8).zip(self.literal) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        window.starts_with(&bytes[..self.len])
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn words(bytes: &[u8; LITERAL_BYTES_MAX]) -> [u64; 4] {
    [word(bytes, 0), word(bytes, 8), word(bytes, 16), word(bytes, 24)]
}

/// The shape of one object of the schema, or of an object inside a value that the schema does not name.
#[derive(Default)]
pub(crate) struct Object {
    pub(crate) declared: Vec<Declared>,
    /// Whether a field that is not declared makes the record bad.
    pub(crate) frozen: bool,
    pub(crate) steps: Vec<Step>,
    /// Shapes of undeclared values that are objects, or lists of them; made when the first is met.
    pub(crate) others: Vec<Other>,
}

/// An undeclared key, and the shape of the objects in its value.
pub(crate) struct Other {
    pub(crate) name: Box<[u8]>,
    pub(crate) shape: Option<Box<Object>>,
}

impl Object {
    /// The shape for declared fields; `read` says which of them are stored.
    pub(crate) fn declared(
        fields: &Fields,
        path: &str,
        read: &dyn Fn(usize) -> bool,
    ) -> Result<Object, SchemaError> {
        let mut object = Object::default();
        for (i, field) in fields.iter().enumerate() {
            let path =
                if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
            if object.declared.iter().any(|d| d.name.as_ref() == field.name().as_str()) {
                return Err(SchemaError::Twice { field: path });
            }
            object.declared.push(Declared {
                name: field.name().as_str().into(),
                column: Column::new(field, &path, read(i))?,
                path: path.into_boxed_str(),
                required: !field.is_nullable(),
            });
        }
        Ok(object)
    }

    /// Refuses fields that are not declared, in the objects of its fields too.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
        self.declared.iter_mut().for_each(|declared| declared.column.freeze());
    }

    /// Finds a key that no step predicted, and learns it for the place `step`. `literal` is its spelling.
    pub(crate) fn learn(
        &mut self,
        name: &[u8],
        literal: &[u8],
        step: usize,
        budget: &mut u32,
    ) -> Option<Target> {
        let declared = self.declared.iter().position(|d| d.name.as_bytes() == name);
        let target = match declared {
            Some(i) => Target::Declared(i as u16),
            None => match self.others.iter().position(|o| o.name.as_ref() == name) {
                Some(i) => Target::Other(i as u16),
                None if self.others.len() < KEYS_MAX && *budget > 0 && name.len() <= LITERAL_BYTES_MAX => {
                    *budget -= 1;
                    self.others.push(Other { name: name.into(), shape: None });
                    Target::Other((self.others.len() - 1) as u16)
                }
                None => return None,
            },
        };
        if let Some(known) = self.steps.iter().position(|s| s.target == target) {
            self.steps.remove(known);
        }
        if let Some(new) = Step::new(literal, target) {
            let place = step.min(self.steps.len());
            self.steps.insert(place, new);
        }
        Some(target)
    }

    /// A null in every column, for a struct that is null.
    pub(crate) fn push_nulls(&mut self) {
        for declared in &mut self.declared {
            declared.column.push_null();
        }
    }

    /// Forgets every row from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        for declared in &mut self.declared {
            declared.column.truncate(rows);
        }
    }

    /// Takes every column that is read.
    pub(crate) fn take_columns(&mut self) -> Vec<Option<ArrayRef>> {
        self.declared.iter_mut().map(|d| d.column.take()).collect()
    }
}

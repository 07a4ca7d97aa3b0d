//! What lies in a store of snapshots: objects of state, and manifests that name them. An object is named for when it was made and for the
//! SHA-256 of its content: `<milliseconds, 12 hex digits>-<SHA-256, 64 hex digits>.state` or `.manifest`. So no object is ever another
//! one under the same name, what is read can be checked by its name alone (SS-3), and who sweeps sees how old it is. Pure. Never
//! enters: folders, the store.
//!
//! Form of an object of state: LZ4 (its length before it) of frames, each a key group (u32), a length (u32) and the value of a changelog's
//! record, little endian. Of a manifest: JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_engine::state::ChangelogEntry;
use millstream_model::KeyGroup;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The form that this build writes and reads.
const FORM: u32 = 1;
/// Objects of state have about this many bytes before they are compressed.
const OBJECT_BYTES: usize = 16 << 20;
/// What an object of state ends in, and what a manifest does.
const STATE: &str = "state";
const MANIFEST: &str = "manifest";

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The object's name.
    pub(super) name: String,
    /// What it is.
    pub(super) what: String,
    /// It is not there at all: it may have been superseded and deleted meanwhile.
    pub(super) is_missing: bool,
}

fn named(made_at_ms: i64, ending: &str, content: &[u8]) -> String {
    format!("{:012x}-{}.{ending}", made_at_ms.max(0), digest(content))
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// When an object was made, in milliseconds since 1970; nothing of what is none of ours.
pub(super) fn made_at_ms(name: &str) -> Option<i64> {
    let (made, rest) = name.split_once('-')?;
    let (digest, ending) = rest.split_once('.')?;
    let is_ours = digest.len() == 64 && (ending == STATE || ending == MANIFEST);
    i64::from_str_radix(made, 16).ok().filter(|_| is_ours)
}

/// Refuses content that is not that of the name.
pub(super) fn check(name: &str, content: Option<&Bytes>) -> Result<(), Wrong> {
    let wrong = |what: String, is_missing| Wrong { name: name.to_owned(), what, is_missing };
    let Some(content) = content else { return Err(wrong("is not there".to_owned(), true)) };
    let wanted = name.split_once('-').and_then(|(_, rest)| rest.split_once('.')).map(|(digest, _)| digest);
    let found = digest(content);
    match wanted == Some(found.as_str()) {
        true => Ok(()),
        false => Err(wrong(
            format!(
                "is damaged: its {} bytes have the SHA-256 {found}, and it is named for another",
                content.len()
            ),
            false,
        )),
    }
}

/// An object that a manifest names, with the key groups that are to be taken from it; it may hold others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The object.
    pub(super) object: String,
    /// How many bytes it has before it is compressed.
    pub(super) bytes: u64,
    /// The key groups, with their bytes of those.
    pub(super) groups: BTreeMap<u32, u64>,
}

/// An object that is to be written.
pub(super) struct Packed {
    /// As a manifest names it, with all of its key groups.
    pub(super) part: Part,
    /// Its content.
    pub(super) content: Bytes,
}

/// Packs what key groups have into objects.
pub(super) fn pack(groups: BTreeMap<u32, Vec<Bytes>>, now_ms: i64) -> Vec<Packed> {
    let (mut found, mut raw, mut sizes) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut close = |raw: &mut Vec<u8>, sizes: &mut BTreeMap<u32, u64>| {
        let content: Bytes = lz4_flex::block::compress_prepend_size(raw).into();
        let part = Part {
            object: named(now_ms, STATE, &content),
            bytes: raw.len() as u64,
            groups: std::mem::take(sizes),
        };
        raw.clear();
        found.push(Packed { part, content });
    };
    for (group, values) in groups {
        for value in values {
            if !raw.is_empty() && raw.len() + value.len() > OBJECT_BYTES {
                close(&mut raw, &mut sizes);
            }
            raw.extend_from_slice(&group.to_le_bytes());
            raw.extend_from_slice(&u32::try_from(value.len()).expect("a record's bound").to_le_bytes());
            raw.extend_from_slice(&value);
            *sizes.entry(group).or_default() += value.len() as u64 + 8;
        }
    }
    if !raw.is_empty() {
        close(&mut raw, &mut sizes);
    }
    found
}

/// The values of some key groups in an object that was checked, in order.
pub(super) fn unpack(name: &str, content: &Bytes, wanted: impl Fn(u32) -> bool) -> Result<Vec<Bytes>, Wrong> {
    let wrong = |what: String| Wrong { name: name.to_owned(), what, is_missing: false };
    let raw = lz4_flex::block::decompress_size_prepended(content);
    let raw: Bytes = raw.map_err(|error| wrong(format!("cannot be unpacked: {error}")))?.into();
    let (mut at, mut found) = (0, Vec::new());
    while at < raw.len() {
        let number = |from: usize| {
            let bytes = raw.get(from..from + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let frame = number(at).zip(number(at + 4)).map(|(group, length)| (group, length as usize));
        let Some((group, length)) = frame.filter(|(_, length)| *length <= raw.len() - at - 8) else {
            return Err(wrong(format!("is cut off at byte {at} of {}", raw.len())));
        };
        if wanted(group) {
            found.push(raw.slice(at + 8..at + 8 + length));
        }
        at += 8 + length;
    }
    Ok(found)
}

/// What a snapshot is of, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    form: u32,
    /// The version of the program that made it.
    version: String,
    /// The operator's stable id.
    pub(super) operator: String,
    /// The changelog, and its partition.
    pub(super) topic: String,
    pub(super) partition: u32,
    /// It has all that lies before this offset there.
    pub(super) covers: i64,
    /// When it was made, in milliseconds since 1970.
    pub(super) made_at_ms: i64,
    /// Its key groups.
    pub(super) groups: Vec<u32>,
    watermarks: Vec<Watermarks>,
    /// How far the operator has fired at ends of input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fired: Vec<Watermarks>,
    /// Where their rows are. A key group in none has no rows.
    pub(super) parts: Vec<Part>,
    /// What it does not name any more and the ones before it did, and since when: left for those who read it (SS-4).
    pub(super) retired: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Watermarks {
    source: Option<String>,
    pairs: Vec<(u32, i64)>,
}

impl Watermarks {
    fn of(source: &Option<String>, pairs: &[(KeyGroup, i64)]) -> Watermarks {
        let pairs = pairs.iter().map(|(group, at)| (group.0, *at)).collect();
        Watermarks { source: source.clone(), pairs }
    }

    fn pairs(&self) -> Vec<(KeyGroup, i64)> {
        self.pairs.iter().map(|(group, at)| (KeyGroup(*group), *at)).collect()
    }
}

/// What a manifest is made of.
pub(super) struct Content<'a> {
    pub(super) operator: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) covers: i64,
    pub(super) made_at_ms: i64,
    pub(super) groups: Vec<u32>,
    /// Watermarks, and how far the operator has fired.
    pub(super) marks: &'a [ChangelogEntry],
    pub(super) parts: Vec<Part>,
    pub(super) retired: BTreeMap<String, i64>,
}

impl Manifest {
    pub(super) fn of(content: Content<'_>) -> Manifest {
        let (mut watermarks, mut fired) = (Vec::new(), Vec::new());
        for entry in content.marks {
            match entry {
                ChangelogEntry::Watermarks { source, pairs } => {
                    watermarks.push(Watermarks::of(source, pairs))
                }
                ChangelogEntry::Fired { source, pairs, .. } => fired.push(Watermarks::of(source, pairs)),
                ChangelogEntry::State { .. } | ChangelogEntry::Reset { .. } => {}
            }
        }
        Manifest {
            form: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operator: content.operator.to_owned(),
            topic: content.topic.to_owned(),
            partition: content.partition,
            covers: content.covers,
            made_at_ms: content.made_at_ms,
            groups: content.groups,
            watermarks,
            fired,
            parts: content.parts,
            retired: content.retired,
        }
    }

    /// Its object.
    pub(super) fn encode(&self) -> (String, Bytes) {
        let json = serde_json::to_vec(self).expect("a manifest is plain data");
        (named(self.made_at_ms, MANIFEST, &json), json.into())
    }

    /// Reads an object that was checked.
    pub(super) fn decode(content: &Bytes) -> Result<Manifest, Wrong> {
        let wrong = |what: String| Wrong { name: "a manifest".to_owned(), what, is_missing: false };
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let cannot = |error: serde_json::Error| wrong(format!("cannot be read: {error}"));
        let Form { form } = serde_json::from_slice(content).map_err(cannot)?;
        if form != FORM {
            return Err(wrong(format!(
                "has form {form}, and this build reads {FORM}: use the one that wrote it"
            )));
        }
        serde_json::from_slice(content).map_err(cannot)
    }

    /// What comes before the rows: as records of the changelog.
    pub(super) fn head(&self, groups: &[u32], is_ours: bool) -> Vec<Bytes> {
        let groups = groups.iter().copied().map(KeyGroup).collect();
        let reset = ChangelogEntry::Reset { operator: self.operator.clone(), groups };
        let watermarks = self
            .watermarks
            .iter()
            .map(|of| ChangelogEntry::Watermarks { source: of.source.clone(), pairs: of.pairs() });
        // Another definition has fired nothing.
        let fired = self.fired.iter().filter(|_| is_ours).map(|of| ChangelogEntry::Fired {
            operator: self.operator.clone(),
            source: of.source.clone(),
            pairs: of.pairs(),
        });
        let all = is_ours.then_some(reset).into_iter().chain(watermarks).chain(fired);
        all.map(|entry| entry.encode()).collect()
    }

    /// How many bytes of rows it names, before they are compressed.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().flat_map(|part| part.groups.values()).sum()
    }

    /// The objects that it names.
    pub(super) fn objects(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.object.as_str())
    }
}

/// The parts of key groups, each of which may name others too: by object, in the order in which they come. A key group whose values
/// lie in several objects is read in that order, in which they were written.
pub(super) fn together(parts: impl IntoIterator<Item = Part>) -> Vec<Part> {
    let mut found: Vec<Part> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for part in parts {
        match places.get(&part.object) {
            Some(at) => found[*at].groups.extend(part.groups),
            None => {
                places.insert(part.object.clone(), found.len());
                found.push(part);
            }
        }
    }
    found
}

/// Whether so little of an object is named that what is left of it is better written again.
pub(super) fn is_worn(part: &Part) -> bool {
    2 * part.groups.values().sum::<u64>() < part.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(values: &[&str]) -> Vec<Bytes> {
        values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect()
    }

    /// What a key group has in several objects is read in the order in which it was written, whatever they are called.
    #[test]
    fn parts_keep_their_order() {
        let part = |object: &str, groups: &[u32]| Part {
            object: object.to_owned(),
            bytes: 1,
            groups: groups.iter().map(|group| (*group, 1)).collect(),
        };
        let parts = [part("z", &[1]), part("m", &[1]), part("m", &[2]), part("a", &[2]), part("z", &[0])];
        let found = together(parts);
        let shown: Vec<(&str, usize)> =
            found.iter().map(|part| (part.object.as_str(), part.groups.len())).collect();
        assert_eq!(shown, [("z", 2), ("m", 2), ("a", 1)]);
    }

    #[test]
    fn objects_come_back_by_key_group() {
        let groups = BTreeMap::from([(3, group(&["a", "b"])), (7, group(&["c"])), (9, Vec::new())]);
        let packed = pack(groups, 0x1234);
        let [one] = packed.as_slice() else { panic!("{} objects", packed.len()) };
        assert!(one.part.object.starts_with("000000001234-") && one.part.object.ends_with(".state"));
        assert_eq!(made_at_ms(&one.part.object), Some(0x1234));
        assert_eq!(one.part.groups, BTreeMap::from([(3, 18), (7, 9)]));
        check(&one.part.object, Some(&one.content)).unwrap();
        let read = |wanted: &[u32]| unpack("o", &one.content, |group| wanted.contains(&group)).unwrap();
        assert_eq!(read(&[3]), group(&["a", "b"]));
        assert_eq!(read(&[7, 3]), group(&["a", "b", "c"]));
        assert!(read(&[8]).is_empty());
        assert!(made_at_ms("000000001234-abc.state").is_none() && made_at_ms("readme").is_none());
    }

    #[test]
    fn what_is_not_what_was_written_is_refused() {
        let packed = pack(BTreeMap::from([(3, group(&["rows of state"]))]), 5).remove(0);
        let name = packed.part.object;
        for at in 0..packed.content.len() {
            let mut bad = packed.content.to_vec();
            bad[at] ^= 4;
            let wrong = check(&name, Some(&bad.into())).unwrap_err();
            assert!(wrong.what.contains("is damaged") && !wrong.is_missing, "byte {at}: {}", wrong.what);
            assert!(check(&name, Some(&packed.content.slice(..at))).is_err(), "cut at {at}");
        }
        assert!(check(&name, None).unwrap_err().is_missing);
        // Named by another hand: nothing panics.
        for bad in [&b""[..], b"\x01", b"\xff\xff\xff\xff", b"\x05\0\0\0\x50abcde"] {
            assert!(
                unpack("o", &Bytes::copy_from_slice(bad), |_| true).is_err() || bad.is_empty(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn large_state_takes_several_objects() {
        let value = Bytes::from(vec![7; 900 << 10]);
        let groups = BTreeMap::from([(0, vec![value.clone(); 30]), (1, vec![value.clone(); 3])]);
        let packed = pack(groups, 5);
        assert_eq!(packed.len(), 2);
        assert!(packed.iter().all(|of| of.part.bytes <= OBJECT_BYTES as u64 + 1_000));
        let of_first: usize =
            packed.iter().map(|of| unpack("o", &of.content, |group| group == 0).unwrap().len()).sum();
        assert_eq!(of_first, 30);
    }

    #[test]
    fn a_manifest_comes_back_and_says_what_comes_before_its_rows() {
        let marks = [
            ChangelogEntry::Watermarks {
                source: None,
                pairs: vec![(KeyGroup(3), i64::MIN), (KeyGroup(7), 5)],
            },
            ChangelogEntry::Fired {
                operator: "sums:1".to_owned(),
                source: Some("sales".to_owned()),
                pairs: vec![(KeyGroup(7), 9)],
            },
        ];
        let part = Part { object: "o".to_owned(), bytes: 40, groups: BTreeMap::from([(3, 18), (7, 9)]) };
        let manifest = Manifest::of(Content {
            operator: "sums:1",
            topic: "p-sums-state",
            partition: 3,
            covers: 17,
            made_at_ms: 6,
            groups: vec![3, 7],
            marks: &marks,
            parts: vec![part.clone()],
            retired: BTreeMap::from([("old".to_owned(), 4)]),
        });
        let (name, content) = manifest.encode();
        check(&name, Some(&content)).unwrap();
        assert_eq!(Manifest::decode(&content), Ok(manifest.clone()));
        assert_eq!(manifest.bytes(), 27);
        let reset = ChangelogEntry::Reset { operator: "sums:1".to_owned(), groups: vec![KeyGroup(7)] };
        assert_eq!(manifest.head(&[7], true), [reset.encode(), marks[0].encode(), marks[1].encode()]);
        assert_eq!(manifest.head(&[7], false), [marks[0].encode()]);
        let newer = String::from_utf8(content.to_vec()).unwrap().replace("\"form\":1", "\"form\":2");
        assert!(Manifest::decode(&newer.into()).unwrap_err().what.contains("has form 2"));
        assert!(Manifest::decode(&Bytes::from_static(b"{}")).is_err());

        assert!(!is_worn(&part));
        let worn = Part { groups: BTreeMap::from([(3, 18)]), ..part.clone() };
        assert!(is_worn(&worn));
        let other = Part { groups: BTreeMap::from([(7, 9)]), ..part.clone() };
        assert_eq!(together([worn, other]), [part]);
    }
}

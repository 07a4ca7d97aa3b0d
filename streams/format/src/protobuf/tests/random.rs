//! Random messages that `prost-reflect` encodes, written in other ways that mean the same, against our reader; what was
//! read against our writer, as `prost-reflect` decodes it.

use millstream_types::{Rng, SeededRng};
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

use super::made::{FILE, columns, random_int, random_message, random_text, random_value};
use super::*;
use crate::protobuf::wire::{Fields as WireFields, Span, varint};
use crate::{Encoder, Registered, Schemas};

/// The fields of a message as they stand in it: their number and their bytes, with the key.
fn pieces(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let whole = [Span::new(0, bytes.len())];
    let mut fields = WireFields::new(bytes, &whole);
    let mut pieces = Vec::new();
    while let Some(field) = fields.next().expect("an encoded message") {
        pieces.push((field.number, bytes[field.key as usize..field.next as usize].to_vec()));
    }
    pieces
}

/// The same message in other words: fields in another order, parts of messages by themselves, numbers packed or not,
/// values that later ones replace, and fields that nobody knows.
fn mangled(rng: &mut SeededRng, of: &MessageDescriptor, bytes: &[u8], unknown: bool) -> Vec<u8> {
    let mut said: Vec<(u32, Vec<u8>)> = Vec::new();
    for (number, piece) in pieces(bytes) {
        let field = of.get_field(number).expect("a known field");
        let whole = [Span::new(0, piece.len())];
        let inner = WireFields::new(&piece, &whole).next().expect("a field").expect("a field").value;
        let inner = inner.of(&piece).to_vec();
        match field.kind() {
            Kind::Message(of) if !field.is_map() => {
                let inner = mangled(rng, &of, &inner, unknown);
                let parts = pieces(&inner);
                let cut = rng.below(parts.len() as u64 + 1) as usize;
                if field.is_list() || rng.chance(1, 2) {
                    said.push((number, len(number, inner)));
                } else {
                    for part in [&parts[..cut], &parts[cut..]] {
                        let bytes: Vec<u8> = part.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                        said.push((number, len(number, bytes)));
                    }
                }
            }
            Kind::Sint32 | Kind::Int64 | Kind::Enum(_) if field.is_list() => {
                // Packed varints: some of them alone, the others in one or more lengths.
                let mut at = 0;
                let mut waiting = Vec::new();
                while at < inner.len() {
                    let from = at;
                    varint(&inner, &mut at).expect("a varint");
                    if rng.chance(1, 3) {
                        said.push((number, len(number, std::mem::take(&mut waiting))));
                        let mut alone = Vec::new();
                        push_key(number, VARINT, &mut alone);
                        alone.extend_from_slice(&inner[from..at]);
                        said.push((number, alone));
                    } else {
                        waiting.extend_from_slice(&inner[from..at]);
                    }
                }
                said.push((number, len(number, waiting)));
            }
            Kind::Fixed64 if field.is_list() && rng.chance(1, 2) => said.push((number, len(number, inner))),
            kind => {
                let replaced = !field.is_list() && !matches!(kind, Kind::Message(_)) && rng.chance(1, 4);
                if replaced {
                    let mut other = DynamicMessage::new(of.clone());
                    other.set_field(&field, random_value(rng, &field, 0).0);
                    said.extend(pieces(&other.encode_to_vec()));
                }
                said.push((number, piece));
            }
        }
        if unknown && rng.chance(1, 5) {
            let number = 500 + rng.below(40_000) as u32 % 1_000;
            said.push((
                number,
                match rng.below(4) {
                    0 => v(number, random_int(rng)),
                    1 => len(number, random_text(rng)),
                    2 => fixed(number, &[7; 4]),
                    _ => group(number, all(&[v(1, 1), len(2, "x"), group(3, vec![])])),
                },
            ));
        }
    }
    // Fields of different numbers change places, those of one number stay in order.
    for _ in 0..said.len() {
        let at = rng.below(said.len() as u64) as usize;
        if at > 0 && said[at - 1].0 != said[at].0 {
            said.swap(at - 1, at);
        }
    }
    said.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// That bytes are a message to others. Shown as text, since a field without presence may be set to its default or not.
fn same(bytes: &[u8], message: &DynamicMessage, seed: u64, i: usize) {
    use prost_reflect::ReflectMessage as _;
    let read = DynamicMessage::decode(message.descriptor(), bytes);
    let read = read.map_or_else(|error| error.to_string(), |message| message.to_string());
    assert_eq!(read, message.to_string(), "seed {seed}, message {i}");
}

#[test]
fn random_messages_are_read_and_written_as_others_do() {
    let schema = compiled(FILE, Some("t.M"));
    let descriptor = schema.descriptor().clone();
    let format = Format::Protobuf(ProtobufForm { schema: Some(Arc::new(schema)), registry: None });
    let schemas = Arc::new(Schemas::default());
    let registered = Format::Protobuf(ProtobufForm { schema: None, registry: Some(Arc::clone(&schemas)) });
    let columns = columns();
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    let encoder = Encoder::new(&format, "t", &columns).expect("columns that have a form");
    let mut derived = Encoder::new(&registered, "t", &columns).expect("columns that have a form");
    let (kind, text) = derived.to_register().expect("a schema");
    schemas.put(1, Ok(Registered { kind, text: text.to_owned(), references: vec![] }));
    derived.set_id(1);
    for seed in 0..seeds() {
        let mut rng = SeededRng::new(seed);
        let mut decoder = decoder(&format, &columns);
        let (mut messages, mut wanted) = (Vec::new(), Vec::new());
        for i in 0..40 {
            let (message, text) = random_message(&mut rng, &descriptor, &names, 0);
            let bytes = message.encode_to_vec();
            let bytes = if rng.chance(1, 4) { bytes } else { mangled(&mut rng, &descriptor, &bytes, false) };
            same(&bytes, &message, seed, i);
            let noisy = mangled(&mut rng, &descriptor, &message.encode_to_vec(), true);
            let record = if rng.chance(1, 2) { noisy } else { bytes };
            decoder.push(&record).unwrap_or_else(|bad| panic!("seed {seed}, message {i}: {bad}: {message}"));
            messages.push(message);
            wanted.push(text);
        }
        let batch = decoder.finish();
        let (rows, rederived) = (encoder.rows(&batch), derived.rows(&batch));
        let mut again = super::decoder(&registered, &columns);
        for (i, (message, want)) in messages.iter().zip(&wanted).enumerate() {
            assert_eq!(&row(&batch, i), want, "seed {seed}, message {i}");
            let mut out = Vec::new();
            rows.write(i, &mut out).unwrap_or_else(|error| panic!("seed {seed}, message {i}: {error}"));
            same(&out, message, seed, i);
            out.clear();
            rederived.write(i, &mut out).unwrap_or_else(|error| panic!("seed {seed}, message {i}: {error}"));
            again.push(&out).unwrap_or_else(|bad| panic!("seed {seed}, message {i}: {bad}"));
        }
        assert_eq!(again.finish(), batch, "seed {seed}");
    }
}

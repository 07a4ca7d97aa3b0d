//! Records that are cut or damaged: never a panic, and no trace in the rows of the others.

use arrow::datatypes::DataType::*;
use millstream_types::{Rng, SeededRng};
use prost_reflect::prost::Message as _;

use super::made::{FILE, columns, random_message};
use super::*;

#[test]
fn cut_or_damaged_records_leave_no_trace() {
    let format = proto3(
        "message M { string s = 1; N n = 2; repeated N l = 3; map<string, int64> m = 4; repeated sint32 p = 5; bytes y = 6; }
         message N { int64 a = 1; repeated string t = 2; N n = 3; }",
    );
    let n = |inside| {
        let mut fields = vec![null("a", Int32), list("t", Utf8)];
        fields.extend(inside);
        object(fields)
    };
    let deep = n(Some(null("n", n(None))));
    let schema = Schema::new(vec![
        must("s", Utf8),
        null("n", deep.clone()),
        list("l", deep),
        list("m", object(vec![must("key", Utf8), null("value", Int64)])),
        list("p", Int32),
        null("y", Binary),
    ]);
    let inner = all(&[v(1, 70_000), len(2, "one"), len(2, "two"), len(3, all(&[v(1, 3), len(2, "x")]))]);
    let good = all(&[
        len(1, "text"),
        len(2, &inner),
        len(3, &inner),
        len(4, all(&[len(1, "k"), v(2, -1)])),
        group(9, all(&[v(1, 1), len(2, "z")])),
        len(5, [1, 2, 3]),
        len(3, ""),
        len(2, &inner),
        len(6, [1, 2, 3]),
        fixed(7, &[1; 8]),
    ]);
    let mut alone = decoder(&format, &schema);
    alone.push(&good).expect("a good record");
    let want = alone.finish();
    let check = |records: &[Vec<u8>], seed: u64| {
        let mut mixed = decoder(&format, &schema);
        let mut kept = Vec::new();
        for record in records {
            let verdict = mixed.push(record);
            if let Err(bad) = &verdict {
                assert!(bad.at <= record.len(), "seed {seed}: {bad:?} of {record:x?}");
            } else {
                kept.push(record);
            }
        }
        let got = mixed.finish();
        let mut clean = decoder(&format, &schema);
        kept.iter().for_each(|record| clean.push(record).expect("a record that was good before"));
        assert_eq!(got, clean.finish(), "seed {seed}");
        assert_eq!(got.slice(0, 1), want, "seed {seed}");
    };
    let cut: Vec<Vec<u8>> = (0..good.len()).flat_map(|end| [good.clone(), good[..end].to_vec()]).collect();
    check(&cut, 0);
    for seed in 0..seeds() / 3 {
        let mut rng = SeededRng::new(seed);
        let mut records = vec![good.clone()];
        for _ in 0..300 {
            let mut record = good.clone();
            for _ in 0..1 + rng.below(4) {
                damage(&mut rng, &mut record);
            }
            records.push(record);
        }
        check(&records, seed);
    }
}

/// Damage such as a cut record, a flipped bit or a doubled byte.
fn damage(rng: &mut SeededRng, record: &mut Vec<u8>) {
    if record.is_empty() {
        return;
    }
    let at = rng.below(record.len() as u64) as usize;
    match rng.below(6) {
        0 => record.truncate(at),
        1 => record[at] ^= 1 << rng.below(8),
        2 => drop(record.remove(at)),
        3 => record[at] = rng.below(256) as u8,
        4 => record.insert(at, rng.below(256) as u8),
        _ => record.insert(at, record[at]),
    }
}

#[test]
fn random_messages_with_random_damage_leave_no_trace() {
    let schema = compiled(FILE, Some("t.M"));
    let descriptor = schema.descriptor().clone();
    let format = Format::Protobuf(ProtobufForm { schema: Some(Arc::new(schema)), registry: None });
    let columns = columns();
    let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    for seed in 0..seeds() {
        let mut rng = SeededRng::new(seed);
        let mut mixed = decoder(&format, &columns);
        let mut wanted = Vec::new();
        for i in 0..100 {
            let (message, _) = random_message(&mut rng, &descriptor, &names, 0);
            let mut record = message.encode_to_vec();
            while rng.chance(1, 2) {
                damage(&mut rng, &mut record);
            }
            let verdict = mixed.push(&record);
            // A decoder that has read nothing tries the usual order first, the other may have given it up.
            let mut alone = decoder(&format, &columns);
            assert_eq!(alone.push(&record), verdict, "seed {seed}, record {i}: {record:x?}");
            match verdict {
                Ok(()) => wanted.push(row(&alone.finish(), 0)),
                Err(bad) => assert!(bad.at <= record.len(), "seed {seed}, record {i}: {bad:?}"),
            }
        }
        let batch = mixed.finish();
        let rows: Vec<String> = (0..batch.num_rows()).map(|i| row(&batch, i)).collect();
        assert_eq!(rows, wanted, "seed {seed}");
    }
}

#[test]
fn damaged_files_are_refused() {
    for seed in 0..seeds() * 5 {
        let mut rng = SeededRng::new(seed);
        let mut text = FILE.as_bytes().to_vec();
        for _ in 0..1 + rng.below(6) {
            damage(&mut rng, &mut text);
        }
        // Words change places with others.
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut words: Vec<&str> = text.split(' ').collect();
        for _ in 0..rng.below(4) {
            let (from, to) = (rng.below(words.len() as u64), rng.below(words.len() as u64));
            words[to as usize] = words[from as usize];
        }
        let _ = ProtobufSchema::compile("t.proto", &words.join(" "), None, &|_| None);
    }
}

//! What the simulated disk forgets and keeps.

use std::collections::BTreeSet;

use millstream_types::SeededRng;

use super::*;
use crate::disk::read_file;
use crate::durable;

fn contents(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    read_file(disk, Path::new(path), 1 << 20).ok()
}

/// All states of a crash, by number.
fn all(disk: &SimDisk) -> Vec<SimDisk> {
    let states = disk.crash();
    (0..states.count().unwrap()).map(|n| states.nth(n)).collect()
}

#[test]
fn nothing_synced_may_leave_nothing_or_any_part() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/a"), Open::Create).unwrap();
    file.write_all_at(&[1; 1024], 0).unwrap();
    let seen: BTreeSet<Option<Vec<u8>>> = all(&disk).iter().map(|d| contents(d, "/a")).collect();
    let mut torn = vec![0; 512];
    torn.extend([1; 512]);
    for state in
        [None, Some(vec![]), Some(vec![1; 512]), Some(torn), Some(vec![1; 1024]), Some(vec![0; 1024])]
    {
        assert!(seen.contains(&state), "{state:?}");
    }
}

#[test]
fn what_is_synced_stays() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/a"), Open::Create).unwrap();
    file.write_all_at(&[1; 700], 0).unwrap();
    file.sync_data().unwrap();
    // The bytes are durable, the name is not.
    assert!(all(&disk).iter().any(|d| contents(d, "/a").is_none()));
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(&[2; 700], 700).unwrap();
    for state in all(&disk) {
        assert_eq!(contents(&state, "/a").unwrap()[..700], [1; 700]);
    }
}

#[test]
fn a_replaced_file_is_old_or_new_at_every_crash() {
    let mut steps = 0;
    loop {
        let disk = SimDisk::new();
        durable::replace(&disk, Path::new("/c"), b"old").unwrap();
        disk.stop_after(steps);
        let done = durable::replace(&disk, Path::new("/c"), &[b'n'; 1500]);
        for state in all(&disk) {
            let found = contents(&state, "/c").unwrap();
            assert!(found == b"old" || found == [b'n'; 1500], "step {steps}: {} bytes", found.len());
            assert!(done.is_err() || found != b"old");
        }
        if done.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 4, "write, sync, rename, sync of the directory");
}

#[test]
fn operations_on_one_name_keep_their_order() {
    let disk = SimDisk::new();
    disk.open(Path::new("/a"), Open::Create).unwrap();
    disk.rename(Path::new("/a"), Path::new("/b")).unwrap();
    for state in all(&disk) {
        let names: Vec<String> = state.list(Path::new("/")).unwrap().into_iter().map(|e| e.name).collect();
        assert!(names.is_empty() || names == ["a"] || names == ["b"], "{names:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/a"), Open::Create).unwrap();
    for i in 0..20 {
        file.write_all_at(&[i; 100], u64::from(i) * 100).unwrap();
    }
    disk.sync_dir(Path::new("/")).unwrap();
    let states = disk.crash();
    let draw = |seed| {
        let mut rng = SeededRng::new(seed);
        (0..20).map(|_| contents(&states.sample(&mut rng), "/a")).collect::<Vec<_>>()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimDisk::new();
    disk.set_capacity(1000);
    let file = disk.open(Path::new("/a"), Open::Create).unwrap();
    let error = file.write_all_at(&[1; 1500], 0).unwrap_err();
    assert!(error.is_no_space());
    assert_eq!(file.len().unwrap(), 1000);
}

//! The real disk, and the two wrappers: faults happen where they were planned, and a failed flush is final.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_disk::disk::read_file;
use millstream_disk::faulty::{Fault, Faults, Faulty};
use millstream_disk::sim::SimDisk;
use millstream_disk::{
    Disk, DiskError, DiskFile, Guarded, Health, Op, Open, RealDisk, SyncGroup, checkpoint, durable,
};

fn real() -> (tempfile::TempDir, RealDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    (dir, disk)
}

#[test]
fn files_are_written_read_and_listed() {
    let (dir, disk) = real();
    let sub = dir.path().join("t-0");
    durable::create_dir(&disk, &sub).unwrap();
    durable::create_dir(&disk, &sub).unwrap();
    let file = disk.open(&sub.join("a"), Open::Create).unwrap();
    // More buffers than the kernel takes in one call.
    let pieces: Vec<[u8; 3]> = (0..3000u32).map(|i| [i as u8, (i >> 8) as u8, 7]).collect();
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
    file.write_at(&slices, 5).unwrap();
    let bytes = read_file(&disk, &sub.join("a"), 1 << 20).unwrap();
    assert_eq!(bytes.len(), 9005);
    assert_eq!(bytes[5..], pieces.concat());
    assert!(read_file(&disk, &sub.join("a"), 9004).is_err());
    let mut buf = [0; 16];
    assert_eq!(file.read_at(&mut buf, 9000).unwrap(), 5);
    assert!(file.fd().is_some());
    file.set_len(3).unwrap();
    let entries = disk.list(&sub).unwrap();
    assert_eq!((entries.len(), entries[0].len, entries[0].is_dir), (1, 3, false));
    assert!(entries[0].modified_ms > 1_600_000_000_000);
    assert!(disk.open(&sub.join("b"), Open::Read).unwrap_err().is_not_found());
    disk.remove(&sub.join("b")).unwrap();
    disk.remove_dir(&sub).unwrap();
    assert_eq!(disk.lookup(&sub).unwrap(), None);
    assert!(disk.free_bytes(dir.path()).unwrap() > 0);
}

#[test]
fn a_group_of_any_size_is_flushed() {
    let (dir, disk) = real();
    for count in [0, 1, 3, 4, 100] {
        let files: Vec<Arc<dyn DiskFile>> =
            (0..count).map(|i| disk.open(&dir.path().join(format!("{i}")), Open::Create).unwrap()).collect();
        files.iter().for_each(|f| f.write_all_at(b"x", 0).unwrap());
        disk.sync_group(&SyncGroup { files, dirs: vec![dir.path().to_owned()] }).unwrap();
    }
    // A file of another file system cannot be flushed with the root's: it is synced by itself.
    let elsewhere = disk.open(Path::new("/dev/shm/millstream-disk-test"), Open::Create);
    if let Ok(other) = elsewhere {
        let files = (0..5).map(|_| other.clone()).collect();
        disk.sync_group(&SyncGroup { files, dirs: Vec::new() }).unwrap();
        disk.remove(other.path()).unwrap();
    }
}

#[test]
fn a_lock_is_held_by_one() {
    let (dir, disk) = real();
    let path = dir.path().join(".lock");
    let lock = disk.lock(&path).unwrap();
    assert!(
        matches!(disk.lock(&path), Err(DiskError::Io { source, .. }) if source.kind() == std::io::ErrorKind::WouldBlock)
    );
    drop(lock);
    disk.lock(&path).unwrap();
}

#[test]
fn checkpoints_are_replaced() {
    let (dir, disk) = real();
    let path = dir.path().join("recovery-point-offset-checkpoint");
    assert_eq!(checkpoint::read(&disk, &path).unwrap(), None);
    checkpoint::write(&disk, &path, ["t 0 5", "t 1 6"]).unwrap();
    checkpoint::write(&disk, &path, ["t 0 7"]).unwrap();
    assert_eq!(checkpoint::read(&disk, &path).unwrap().unwrap(), ["t 0 7"]);
    assert_eq!(disk.list(dir.path()).unwrap().len(), 1);
}

fn guarded() -> (Guarded, Faults, Arc<Health>) {
    let faults = Faults::default();
    let health = Health::new();
    let faulty = Faulty::new(Arc::new(SimDisk::new()), faults.clone());
    (Guarded::new(Arc::new(faulty), health.clone()), faults, health)
}

/// T6 e, at the door: each kind of flush that fails once takes the directory offline for good.
#[test]
fn a_failed_flush_is_final() {
    for op in [Op::Sync, Op::SyncDir, Op::SyncGroup] {
        let (disk, faults, health) = guarded();
        let file = disk.open(Path::new("/a"), Open::Create).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        faults.fail_next(op, Fault::Eio);
        let flush = |op| match op {
            Op::Sync => file.sync_data(),
            Op::SyncDir => disk.sync_dir(Path::new("/")),
            _ => disk.sync_group(&SyncGroup { files: vec![file.clone()], dirs: vec![PathBuf::from("/")] }),
        };
        assert!(flush(op).is_err());
        assert!(!health.is_online());
        let seen = faults.seen();
        for again in [Op::Sync, Op::SyncDir, Op::SyncGroup] {
            assert!(flush(again).unwrap_err().is_offline());
        }
        assert!(file.write_all_at(b"y", 1).unwrap_err().is_offline());
        assert!(file.read_at(&mut [0], 0).unwrap_err().is_offline());
        assert_eq!(faults.seen(), seen, "nothing reaches the disk after {op:?} failed");
    }
}

#[test]
fn a_full_disk_is_not_a_broken_one() {
    let (disk, faults, health) = guarded();
    let file = disk.open(Path::new("/a"), Open::Create).unwrap();
    faults.fail_next(Op::Write, Fault::ShortWrite(2));
    assert!(file.write_all_at(b"abcd", 0).unwrap_err().is_no_space());
    assert_eq!(file.len().unwrap(), 2);
    assert!(health.is_online());
    file.write_all_at(b"abcd", 0).unwrap();
    faults.fail_next(Op::Write, Fault::Eio);
    assert!(file.write_all_at(b"e", 4).is_err());
    assert!(!health.is_online());
}

#[test]
fn faults_come_where_they_are_planned_and_sites_are_counted() {
    let faults = Faults::default();
    let disk = Faulty::new(Arc::new(SimDisk::new()), faults.clone());
    durable::replace(&disk, Path::new("/c"), b"1").unwrap();
    let each = faults.seen();
    assert_eq!(each, 5, "open, write, sync, rename, sync of the directory");
    for at in 0..each {
        faults.fail_at(each + at * each, Fault::NoSpace);
        let before = faults.seen();
        faults.fail_at(before + at, Fault::NoSpace);
        assert!(durable::replace(&disk, Path::new("/c"), b"2").unwrap_err().is_no_space(), "step {at}");
        faults.clear();
    }
    assert_eq!(faults.fired().len(), 5);
    assert_eq!(faults.sites().len(), 5);
}

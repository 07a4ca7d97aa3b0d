//! A full disk: produce is refused with Kafka's storage error, readers go on, and writing goes on when there is space.

use std::path::Path;
use std::process::Command;

use millstream_testkit::records::topic;
use millstream_testkit::{Process, run};
use millstream_types::ErrorCode;

use crate::raw::{Place, Raw, batch, code, found};

/// A file system of this many bytes, which the broker alone sees.
const MOUNT: &str =
    "mount -t tmpfs -o size=24m tmpfs \"$0\" && head -c 8388608 /dev/zero > \"$0\"/ballast && exec \"$@\"";

#[test]
fn a_full_disk_refuses_produce_until_there_is_space() {
    let may = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !may.is_ok_and(|out| out.status.success()) {
        millstream_skip::leave_out("a full disk", "a disk of a few megabytes needs root and unshare");
        return;
    }
    run(async {
        let data = tempfile::tempdir().unwrap();
        let at = data.path().to_str().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_millstream-broker"));
        let mut broker =
            Process::wrapped(&["unshare", "-m", "sh", "-c", MOUNT, at], program, data.path(), &[]);
        let name = topic(&broker.cluster(), 2).await;
        let mut raw = Raw::connect(broker.address()).await;
        let place = Place::of(&mut raw, &name, 0).await;
        let text = "x".repeat(700_000);
        let mut kept = 0;
        loop {
            let response = raw.produce(&place, batch(&[&text], Default::default()), 9).await;
            match code(response.error_code) {
                ErrorCode::None => kept += 1,
                error => {
                    assert_eq!(error, ErrorCode::KafkaStorageError, "after {kept}");
                    break;
                }
            }
            assert!(kept < 40, "the disk is not full");
        }
        // Still refused, on a partition of its own too, and readers have what was kept.
        for partition in [0, 1] {
            let to = Place { partition, ..place.clone() };
            let response = raw.produce(&to, batch(&[&text], Default::default()), 9).await;
            assert_eq!(code(response.error_code), ErrorCode::KafkaStorageError);
        }
        let end = raw.fetch(&place, 0, 17).await.high_watermark;
        assert_eq!(end, kept);
        let mut seen = 0;
        while seen < kept {
            let got = found(&raw.fetch(&place, seen, 17).await);
            seen = got.last().expect("records").0 + 1;
        }
        // Space returns.
        let removed = Command::new("nsenter")
            .args(["-t", &broker.pid().to_string(), "-m", "rm", &format!("{at}/ballast")])
            .status()
            .unwrap();
        assert!(removed.success());
        for partition in [0, 1] {
            let to = Place { partition, ..place.clone() };
            let response = raw.produce(&to, batch(&["goes on"], Default::default()), 9).await;
            assert_eq!(code(response.error_code), ErrorCode::None, "partition {partition}");
        }
        let got = found(&raw.fetch(&place, kept, 17).await);
        assert_eq!(got, [(kept, "goes on".to_owned())]);
        assert!(broker.stop().success());
    });
}

//! CRC-32C (Castagnoli) of a batch, by the processor's carry-less multiplication where it has one. Owns: the one place
//! that names the checksum crate. Never enters: which bytes are covered (`header`).

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of `whole` after its prefix changed from one with checksum `before` to one of equal length with
/// checksum `after`, with `rest` bytes behind the prefix. CRC is linear, so the rest need not be read (BA-2).
pub fn replace_prefix(whole: u32, before: u32, after: u32, rest: usize) -> u32 {
    let shifted = crc_fast::checksum_combine(Crc32Iscsi, u64::from(before ^ after), 0, rest as u64) as u32;
    whole ^ shifted
}

/// Which implementation this machine runs, for the log and for benchmarks.
pub fn implementation() -> String {
    crc_fast::get_calculator_target(Crc32Iscsi)
}

/// Whether the checksum runs on the processor's own instructions, rather than on tables.
pub fn is_hardware() -> bool {
    !implementation().contains("software")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bit-by-bit definition, from RFC 3720 section 12.1.
    fn by_definition(bytes: &[u8]) -> u32 {
        let mut crc = !0u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn it_is_crc32c() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let bytes: Vec<u8> = (0..5_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in (0..200).chain([255, 256, 257, 1_023, 1_024, 4_999]) {
            assert_eq!(crc32c(&bytes[..len]), by_definition(&bytes[..len]), "{len} bytes");
        }
    }

    #[test]
    fn it_runs_on_hardware_where_the_processor_can() {
        #[cfg(target_arch = "x86_64")]
        assert!(is_hardware() || !std::is_x86_feature_detected!("pclmulqdq"), "{}", implementation());
        #[cfg(target_arch = "aarch64")]
        assert!(is_hardware(), "{}", implementation());
    }

    #[test]
    fn a_prefix_is_replaced_without_the_rest() {
        for rest in [0usize, 1, 7, 100, 4_096, 1_000_003] {
            let mut bytes: Vec<u8> = (0..40 + rest).map(|i| (i * 31 + i / 251) as u8).collect();
            let (whole, before) = (crc32c(&bytes), crc32c(&bytes[..40]));
            bytes[3] ^= 0x5a;
            bytes[39] = 7;
            assert_eq!(replace_prefix(whole, before, crc32c(&bytes[..40]), rest), crc32c(&bytes), "{rest}");
        }
    }
}

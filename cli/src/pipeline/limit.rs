//! `--memory SIZE`: what a process may hold. Where nothing is said, half of what the machine, or the control group that the
//! process is in, gives. Never enters: who claims it (`millstream_types::memory`).

use millstream_connector::ByteSize;
use millstream_types::MemoryBudget;

/// The least that can be asked for: below it every part has its own least alone.
const LEAST_BYTES: u64 = 16 << 20;

/// Reads an argument such as `512MiB`.
pub fn size(text: &str) -> Result<u64, String> {
    let size = ByteSize::parse(text).ok_or_else(|| format!("\"{text}\" is no size such as 512MiB or 2GB"))?;
    match size.0 >= LEAST_BYTES {
        true => Ok(size.0),
        false => Err(format!("{text} is too little; at least 16MiB")),
    }
}

/// The budget of this process.
pub fn budget(asked: Option<u64>) -> MemoryBudget {
    let half = || {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let own = read("/proc/self/cgroup").and_then(|text| group_of(&text)).unwrap_or_default();
        let group = limit_of_group(&own, &read);
        let machine = read("/proc/meminfo").and_then(|text| total_of(&text));
        [group, machine].into_iter().flatten().min().map(|bytes| bytes / 2)
    };
    asked.or_else(half).map_or_else(MemoryBudget::unlimited, MemoryBudget::new)
}

/// The control group's path in `/proc/self/cgroup`, of version 2.
fn group_of(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("0::/")).map(str::to_owned)
}

/// The least limit of a group and of those that it is in.
fn limit_of_group(path: &str, read: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let limit = |depth: usize| {
        let folder = parts[..depth].iter().fold("/sys/fs/cgroup".to_owned(), |all, part| all + "/" + part);
        read(&format!("{folder}/memory.max"))?.trim().parse::<u64>().ok()
    };
    (0..=parts.len()).filter_map(limit).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What this process has in memory, in bytes.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_a_least() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert!(size("1MiB").is_err_and(|text| text.contains("at least 16MiB")));
        assert!(size("plenty").is_err_and(|text| text.contains("no size")));
        assert_eq!(budget(Some(64 << 20)).limit_bytes(), 64 << 20);
    }

    #[test]
    fn the_machine_is_read() {
        assert_eq!(total_of("MemTotal:       24000 kB\nMemFree: 1 kB\n"), Some(24_576_000));
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(group_of("0::/system.slice/mill.service\n").as_deref(), Some("system.slice/mill.service"));
        let read = |path: &str| match path {
            "/sys/fs/cgroup/system.slice/memory.max" => Some("max\n".to_owned()),
            "/sys/fs/cgroup/system.slice/mill.service/memory.max" => Some("1000\n".to_owned()),
            _ => None,
        };
        assert_eq!(limit_of_group("system.slice/mill.service", &read), Some(1000));
        assert_eq!(limit_of_group("", &read), None);
    }
}

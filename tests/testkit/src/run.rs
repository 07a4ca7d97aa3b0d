//! A test's runtime. Owns the bound on how long a test may take, which only a test that hangs ever meets.

use std::future::Future;
use std::time::Duration;

/// The longest that a test may run.
const TEST_MAX: Duration = Duration::from_secs(120);

/// Runs a test to its end, with two threads.
///
/// # Panics
/// Where the test panics, or hangs for two minutes.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|e| panic!("starting a test's runtime: {e}"));
    runtime.block_on(async {
        if tokio::time::timeout(TEST_MAX, test).await.is_err() {
            panic!("the test hangs: it is not done after {TEST_MAX:?}");
        }
    });
}

/// Looks until `check` is true.
///
/// # Panics
/// Where it is not so after half a minute.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let start = std::time::Instant::now();
    while !check().await {
        assert!(start.elapsed() < Duration::from_secs(30), "after 30 s it is not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Each line of the corpus is judged as it says; and the cases that need another policy or a resolver that changes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_connect::egress::{EgressPolicy, Guard, Resolve};
use millstream_connector::{Egress, EgressError, async_trait};

#[derive(Default)]
struct TestResolver {
    rebound: AtomicBool,
}

#[async_trait]
impl Resolve for TestResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let addresses: &[&str] = match host {
            "public.test" => &["93.184.215.14", "2606:4700::1"],
            "private.test" => &["10.0.0.5"],
            "mixed.test" => &["93.184.215.14", "127.0.0.1"],
            "localhost.test" => &["::1"],
            "meta.test" => &["169.254.169.254"],
            "six.test" => &["fd00::5"],
            "rebind.test" if !self.rebound.swap(true, Ordering::SeqCst) => &["93.184.215.14"],
            "rebind.test" => &["127.0.0.1"],
            "empty.test" => &[],
            other => return Err(format!("no such name: {other}")),
        };
        Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn guard(policy: EgressPolicy) -> Guard {
    Guard::with_resolver(policy, Arc::new(TestResolver::default()))
}

#[tokio::test]
async fn the_corpus_is_judged_right() {
    let guard = guard(EgressPolicy::default());
    let mut judged = 0;
    let mut wrong = Vec::new();
    for line in include_str!("egress_corpus.txt").lines() {
        let Some((verdict, url)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else { continue };
        let found = match guard.check_url(url, &["https"]).await {
            Ok(target) => {
                assert!(!target.addresses.is_empty(), "{url}");
                "ok"
            }
            Err(EgressError::Refused { .. }) => "no",
            Err(EgressError::Unresolved { .. }) => "nx",
        };
        judged += 1;
        if found != verdict {
            wrong.push(format!("{url}: {found}, not {verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged >= 120, "{judged} URLs");
}

#[tokio::test]
async fn a_name_is_resolved_once_and_that_answer_is_dialled() {
    let guard = guard(EgressPolicy::default());
    let target = guard.check_url("https://rebind.test/", &["https"]).await.unwrap();
    assert_eq!(target.addresses, ["93.184.215.14:443".parse().unwrap()]);
    assert!(
        guard.check_url("https://rebind.test/", &["https"]).await.is_err(),
        "each new dial is judged again"
    );
}

#[tokio::test]
async fn what_is_allowed_is_allowed_and_nothing_beside_it() {
    let mut policy = EgressPolicy::default();
    let entries = ["private.test", "192.168.7.0/24", "10.9.9.9"].map(str::to_owned);
    policy.allow(&entries).unwrap();
    policy.literal("LOCALHOST.test.");
    policy.literal("2130706433");
    let guard = guard(policy);
    for (host, allowed) in [
        ("private.test", true),
        ("PRIVATE.test.", true),
        ("sub.private.test", false),
        ("10.0.0.5", false),
        ("192.168.7.200", true),
        ("192.168.8.1", false),
        ("10.9.9.9", true),
        ("10.9.9.8", false),
        ("localhost.test", true),
        ("::1", false),
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("127.0.0.2", false),
        ("meta.test", false),
        ("mixed.test", false),
    ] {
        assert_eq!(guard.resolve(host, 5432).await.is_ok(), allowed, "{host}");
    }
    assert!(guard.local_socket("/run/postgresql").await.is_err());
    for bad in ["10.0.0.0/99", "*.test", "a/b", ""] {
        assert_eq!(EgressPolicy::default().allow(&[bad.to_owned()]), Err(bad.to_owned()));
    }
}

#[tokio::test]
async fn a_refusal_never_repeats_a_password() {
    let guard = guard(EgressPolicy::default());
    for url in ["https://me:hunter2@127.0.0.1/", "https://me:hunter2@[::1", "ftp://me:hunter2@public.test/"] {
        let error = guard.check_url(url, &["https"]).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

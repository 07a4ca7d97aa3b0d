//! Creating an entry is a race that one caller wins, in every kind of store. A store that lets two win cannot keep rows
//! from coming twice, so this is a test of the store as much as of the connector.

use std::sync::Arc;

use millstream_object_store::store::local::LocalStore;
use millstream_object_store::store::remote::RemoteStore;
use millstream_object_store::store::{Created, Store};
use object_store::memory::InMemory;

pub async fn one_winner_each_round(store: Arc<dyn Store>, rounds: usize) {
    for round in 0..rounds {
        let name = format!("topic-0-{round:020}");
        let tries = (0..8).map(|who| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(
                async move { (who, store.create("race", &name, format!("{who}").into()).await.unwrap()) },
            )
        });
        let mut winners = Vec::new();
        for attempt in tries.collect::<Vec<_>>() {
            let (who, created) = attempt.await.unwrap();
            if created == Created::Here {
                winners.push(who);
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?} won");
        let content = store.read("race", &name).await.unwrap().unwrap();
        assert_eq!(content, winners[0].to_string(), "round {round}: the winner's content stands");
    }
    assert_eq!(store.list("race", "").await.unwrap().len(), rounds);
    assert_eq!(store.list("race", &format!("topic-0-{:020}", rounds - 2)).await.unwrap().len(), 1);
    for _ in 0..2 {
        store.remove("race", &format!("topic-0-{:020}", rounds - 1)).await.unwrap();
        assert_eq!(store.list("race", "").await.unwrap().len(), rounds - 1);
    }
    assert_eq!(store.list("nothing", "").await.unwrap().len(), 0);
    assert_eq!(store.read("race", "nothing").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_eight_wins_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    one_winner_each_round(Arc::new(LocalStore::new(folder.path().to_owned())), 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_eight_wins_in_memory() {
    one_winner_each_round(Arc::new(RemoteStore::new(Arc::new(InMemory::new()), "x".into(), 5 << 20)), 25)
        .await;
}

//! The admin calls.

use std::collections::BTreeMap;

use millstream_client::admin::{ConfigOp, ConfigResource, NewTopic};
use millstream_client::{Admin, Isolation, OffsetAndMetadata};
use millstream_types::{ErrorCode, TopicPartition};

use crate::support::{against_cluster, eventually, fill, topic, unique};

#[test]
fn topics_are_made_changed_and_deleted() {
    against_cluster("topics_are_made_changed_and_deleted", |cluster| async move {
        let admin = Admin::new(&cluster);
        let described = admin.describe_cluster().await.unwrap();
        assert!(!described.cluster_id.is_empty() && !described.brokers.is_empty());
        let name = unique("admin");
        let new = NewTopic::new(&name, 2).config("retention.ms", "123456");
        admin.create_topics(std::slice::from_ref(&new)).await.unwrap();
        let again = admin.create_topics(&[new]).await.unwrap_err();
        assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
        let count = |wanted| {
            let (admin, name) = (&admin, &name);
            move || async move { admin.describe_topic(name).await.is_ok_and(|t| t.partition_count() == wanted) }
        };
        eventually("2 partitions", count(2)).await;
        admin.create_partitions(&name, 5).await.unwrap();
        eventually("5 partitions", count(5)).await;
        let resource = ConfigResource::Topic(name.clone());
        let value = |entries: &[millstream_client::admin::ConfigEntry], key: &str| {
            entries.iter().find(|entry| entry.name == key).and_then(|entry| entry.value.clone())
        };
        let configs = admin.describe_configs(&resource).await.unwrap();
        assert_eq!(value(&configs, "retention.ms").as_deref(), Some("123456"));
        let changes = [
            ConfigOp::Set("cleanup.policy".to_owned(), "compact".to_owned()),
            ConfigOp::Delete("retention.ms".to_owned()),
        ];
        admin.alter_configs(&resource, &changes).await.unwrap();
        eventually("the changed configs", || async {
            let configs = admin.describe_configs(&resource).await.unwrap();
            value(&configs, "cleanup.policy").as_deref() == Some("compact")
                && value(&configs, "retention.ms").as_deref() != Some("123456")
        })
        .await;
        let wrong = [ConfigOp::Set("cleanup.policy".to_owned(), "burn".to_owned())];
        let error = admin.alter_configs(&resource, &wrong).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));
        admin.delete_topics(&[&name]).await.unwrap();
        eventually("the topic gone", || async { admin.describe_topic(&name).await.is_err() }).await;
    });
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    against_cluster("records_are_deleted_up_to_an_offset", |cluster| async move {
        let topic = topic(&cluster, 1).await;
        let partition = TopicPartition::new(topic.clone(), 0);
        fill(&cluster, &topic, 0..50).await;
        let admin = Admin::new(&cluster);
        let low = admin.delete_records(&BTreeMap::from([(partition.clone(), 20)])).await.unwrap();
        assert_eq!(low[&partition], 20);
        let partitions = [partition.clone()];
        let first = admin.list_offsets(Isolation::ReadUncommitted, -2, &partitions).await.unwrap();
        let end = admin.list_offsets(Isolation::ReadUncommitted, -1, &partitions).await.unwrap();
        assert_eq!((first[&partition].offset, end[&partition].offset), (20, 50));
    });
}

#[test]
fn groups_and_their_offsets_are_listed_changed_and_deleted() {
    against_cluster("groups_and_their_offsets_are_listed_changed_and_deleted", |cluster| async move {
        let topic = topic(&cluster, 2).await;
        let group = unique("admin-group");
        let admin = Admin::new(&cluster);
        let at = |partition: i32| TopicPartition::new(topic.clone(), partition);
        let offset =
            |offset: i64| OffsetAndMetadata { metadata: "by hand".into(), ..OffsetAndMetadata::new(offset) };
        let positions = BTreeMap::from([(at(0), offset(3)), (at(1), offset(4))]);
        admin.alter_group_offsets(&group, &positions).await.unwrap();
        assert_eq!(admin.list_group_offsets(&group, None).await.unwrap(), positions);
        let one = admin.list_group_offsets(&group, Some(&[at(1)])).await.unwrap();
        assert_eq!(one, BTreeMap::from([(at(1), offset(4))]));
        assert!(admin.list_groups().await.unwrap().iter().any(|listed| listed.group_id == group));
        assert!(admin.describe_group(&group).await.unwrap().members.is_empty());
        admin.delete_group_offsets(&group, &[at(0)]).await.unwrap();
        assert_eq!(admin.list_group_offsets(&group, None).await.unwrap().len(), 1);
        admin.delete_groups(&[&group]).await.unwrap();
        let error = admin.delete_groups(&[&group]).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::GroupIdNotFound));
    });
}

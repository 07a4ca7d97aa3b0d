//! CreateTopics, DeleteTopics, CreatePartitions: decided by the controller, answered when the records are committed
//! and this broker has taken them up.

use std::sync::Arc;

use millstream_types::ErrorCode;
use millstream_wire::message::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, create_topics_request, create_topics_response,
    delete_topics_response,
};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;

/// Serves CreateTopics.
pub fn create(broker: &Arc<Broker>, cx: Context, request: CreateTopicsRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.later(async move {
        let refused = |error: ErrorCode| CreateTopicsResponse {
            topics: request
                .topics
                .iter()
                .map(|t| create_topics_response::CreatableTopicResult {
                    name: t.name.clone(),
                    error_code: error.code(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let again = request.clone();
        let asked = broker.controller.ask(move |c| c.create_topics(again)).await;
        let mut answer = asked.unwrap_or_else(refused);
        if version < 7 {
            for topic in &mut answer.topics {
                topic.topic_id = Default::default();
            }
        }
        if version < 5 {
            for topic in &mut answer.topics {
                topic.num_partitions = -1;
                topic.replication_factor = -1;
                topic.topic_config_error_code = 0;
                topic.configs = Some(Vec::new());
            }
        }
        answer
    })
}

/// Serves DeleteTopics.
pub fn delete(broker: &Arc<Broker>, cx: Context, mut request: DeleteTopicsRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.later(async move {
        if !broker.config.flag("delete.topic.enable") {
            let names = request
                .topic_names
                .iter()
                .cloned()
                .chain(request.topics.iter().filter_map(|t| t.name.clone()));
            let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
            let responses = names.map(|name| delete_topics_response::DeletableTopicResult {
                name: Some(name),
                error_code: code.code(),
                ..Default::default()
            });
            return DeleteTopicsResponse { responses: responses.collect(), ..Default::default() };
        }
        if version < 6 {
            request.topics = request
                .topic_names
                .drain(..)
                .map(|name| millstream_wire::message::delete_topics_request::DeleteTopicState {
                    name: Some(name),
                    ..Default::default()
                })
                .collect();
        }
        let asked = broker.controller.ask(move |c| c.delete_topics(request)).await;
        let mut answer = asked.unwrap_or_default();
        for row in &mut answer.responses {
            if version < 6 {
                row.topic_id = Default::default();
            }
            if version < 5 {
                row.error_message = None;
            }
        }
        answer
    })
}

/// Serves CreatePartitions.
pub fn create_partitions(broker: &Arc<Broker>, cx: Context, request: CreatePartitionsRequest) -> Begun {
    let broker = Arc::clone(broker);
    cx.later(async move {
        let asked = broker.controller.ask(move |c| c.create_partitions(request)).await;
        asked.unwrap_or_else(|_| CreatePartitionsResponse::default())
    })
}

impl Broker {
    /// Makes a topic with the broker's defaults, or with `settings` of its own for the internal ones.
    ///
    /// # Errors
    /// The controller's; TOPIC_ALREADY_EXISTS is none.
    pub async fn create_topic(&self, name: &str) -> Result<(), ErrorCode> {
        let (partitions, settings) = crate::handler::find_coordinator::internal_topic(self, name);
        let configs = settings.iter().map(|(name, value)| create_topics_request::CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        });
        let request = CreateTopicsRequest {
            topics: vec![create_topics_request::CreatableTopic {
                name: name.to_owned(),
                num_partitions: partitions.unwrap_or(-1),
                replication_factor: -1,
                configs: configs.collect(),
                ..Default::default()
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let answer = self.controller.ask(move |c| c.create_topics(request)).await?;
        match answer.topics.first().and_then(|t| ErrorCode::from_code(t.error_code)) {
            Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
            Some(error) => Err(error),
            None => Err(ErrorCode::UnknownServerError),
        }
    }
}

//! The settings of `type: http`.

use std::collections::BTreeMap;

use millstream_connector::{
    ComponentSchema, Delivery, Period, Role, SecretText, component_config, config_choice,
};

config_choice! {
    /// The method of each request.
    pub enum Method {
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
    }
}

component_config! {
    /// Sends each row as a request, until it is answered.
    pub struct HttpSinkConfig {
        /// Where each row is sent, as `https://mail.example/v1/messages`.
        url: String [required, bounds = 8..=2_048],
        /// The method.
        method: Method [default = Method::Post],
        /// Headers of every request, such as `Authorization`.
        headers: BTreeMap<String, SecretText> [default = BTreeMap::new(), bounds = 0..=32],
        /// How long an answer may take.
        timeout: Period [default = Period(10_000), bounds = 10..=3_600_000],
        /// The header that names a request, the same each time that it is sent.
        idempotency_header: String [default = "Idempotency-Key".to_owned(), bounds = 1..=128],
        /// The columns whose values are that name; without, it is where the row lies in its topic.
        id_fields: Vec<String> [default = Vec::new(), bounds = 0..=8],
        /// Statuses at which a request is sent again, beside those from 500 on.
        retry_on: Vec<u16> [default = vec![408, 425, 429], bounds = 0..=32],
    }
}

impl HttpSinkConfig {
    /// What the bounds of single settings do not say.
    pub fn validate(&self) -> Result<(), String> {
        match self.retry_on.iter().find(|status| !(400..=499).contains(*status)) {
            Some(status) => Err(format!(
                "`retry_on` names {status}: it is for statuses from 400 to 499; those from 500 on are in any case"
            )),
            None => Ok(()),
        }
    }
}

/// `type: http` as data.
pub fn schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "http",
        role: Role::Sink,
        doc: HttpSinkConfig::doc(),
        delivery: Delivery::AtLeastOnce("an HTTP server may have taken a request whose answer was lost"),
        fields: HttpSinkConfig::fields(),
    }
}

//! `millstream broker`: options for `millstream_server::command::run`. Never enters: what a setting means.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::metrics::Figures;

/// Options of `broker`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: millstream broker --listen 127.0.0.1:9092 --data /var/lib/millstream --set num.partitions=12"
)]
pub struct Broker {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: String,
    /// The folder of all data; made where it is missing
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A setting by Kafka's name; may be given many times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Serve the broker's counters at http://HOST:PORT/metrics, as Prometheus reads them; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
}

/// Runs a broker until it is told to stop.
pub fn command(options: Broker) -> ExitCode {
    super::log_from("info");
    let Broker { listen, data, set, metrics } = options;
    millstream_server::command::run_with(&listen, data, &set, async |broker| {
        let Some(at) = metrics else { return Ok(()) };
        let figures = Figures::default();
        figures.broker_is(broker);
        println!("metrics {}", crate::metrics::serve(&at, figures).await?);
        Ok(())
    })
}

//! What running workers say of their stages and operators, as their `--metrics` serve it: what is in state, what went through, how
//! far event time has come. Never enters: what a plan says, serving figures (`crate::metrics`).

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::metrics::TEXT_FORMAT;

/// How long a worker may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The figures of some workers.
#[derive(Debug, Default)]
pub struct Now {
    workers: usize,
    /// By stage, operator (none for the stage's own) and name; of several workers the sum, and of watermarks the least.
    figures: BTreeMap<(String, Option<String>, String), f64>,
}

impl Now {
    /// Asks the workers of a pipeline at these addresses.
    pub async fn of(pipeline: &str, workers: &[String]) -> Result<Now, String> {
        let mut now = Now::default();
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build();
        let client = client.map_err(|error| format!("making a client of HTTP: {error}"))?;
        for worker in workers.iter().collect::<BTreeSet<_>>() {
            let (host, port) = worker.rsplit_once(':').unwrap_or_default();
            if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
                return Err(format!("{worker:?} is no address of a worker: --worker takes HOST:PORT"));
            }
            let failed = |error: reqwest::Error| {
                let mut text = error.to_string();
                let mut source = error.source();
                while let Some(error) = source {
                    text = format!("{text}: {error}");
                    source = error.source();
                }
                format!(
                    "asking {worker} for its figures: {text}; a worker has them with `run --metrics {worker}`"
                )
            };
            let answer = client.get(format!("http://{worker}/metrics")).header("accept", TEXT_FORMAT);
            let answer = answer.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
            let text = answer.text().await.map_err(failed)?;
            now.add(pipeline, &text).map_err(|error| format!("the figures of {worker}: {error}"))?;
        }
        Ok(now)
    }

    fn add(&mut self, pipeline: &str, text: &str) -> Result<(), String> {
        let (mut found, mut other) = (false, None);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
            let labels: BTreeMap<&str, &str> = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""))
                .map(|(name, value)| (name, value.trim_end_matches('"')))
                .collect();
            let (Some(of), Some(stage), Ok(value)) =
                (labels.get("pipeline"), labels.get("stage"), value.parse::<f64>())
            else {
                continue;
            };
            if *of != pipeline {
                other = Some((*of).to_owned());
                continue;
            }
            found = true;
            if labels.keys().any(|label| !matches!(*label, "pipeline" | "stage" | "operator")) {
                continue;
            }
            let operator = labels.get("operator").map(|operator| (*operator).to_owned());
            let figure = self.figures.entry(((*stage).to_owned(), operator, name.to_owned()));
            let least = name.ends_with("_watermark_seconds");
            figure
                .and_modify(|all| *all = if least { all.min(value) } else { *all + value })
                .or_insert(value);
        }
        self.workers += 1;
        match (found, other) {
            (true, _) => Ok(()),
            (false, Some(other)) => {
                Err(format!("they are of pipeline {other}, and the file's name is {pipeline}"))
            }
            (false, None) => Err("there is no pipeline's among them".to_owned()),
        }
    }

    fn figure(&self, stage: &str, operator: Option<&str>, name: &str) -> Option<f64> {
        let name = match operator {
            Some(_) => format!("millstream_operator_{name}"),
            None => format!("millstream_stage_{name}"),
        };
        self.figures.get(&(stage.to_owned(), operator.map(str::to_owned), name)).copied()
    }

    /// Lines about a stage.
    pub fn stage(&self, text: &mut String, stage: &str) {
        let of = |name| self.figure(stage, None, name);
        let Some(records) = of("records_total") else { return };
        let _ = write!(text, "  now, of {}: {records} records taken in over all runs", workers(self.workers));
        if let Some(lag) = of("lag_records") {
            let _ = write!(text, ", {lag} waiting");
        }
        let seconds = ["cpu_seconds_total", "waiting_seconds_total", "committing_seconds_total"].map(of);
        if let [Some(cpu), Some(waiting), Some(committing)] = seconds {
            let commits = of("commits_total").unwrap_or_default();
            let _ = write!(
                text,
                "; {cpu:.1} s of CPU, {waiting:.1} s waiting for input, {committing:.1} s in {commits} commits"
            );
        }
        text.push('\n');
    }

    /// Lines about an operator.
    pub fn operator(&self, text: &mut String, stage: &str, operator: &str) {
        let of = |name| self.figure(stage, Some(operator), name);
        let Some(rows) = of("rows_in_total") else { return };
        let [batches, bytes, busy, out, late] =
            ["batches_in_total", "bytes_in_total", "busy_seconds_total", "rows_out_total", "late_rows_total"]
                .map(|name| of(name).unwrap_or_default());
        text.push_str("    now\n");
        let each = |all: f64| if batches > 0.0 { all / batches } else { 0.0 };
        let _ = writeln!(
            text,
            "      in this run {rows} rows came in {batches} batches of {:.0} rows and {} on average, {out} went out, {late} were late; busy for {busy:.2} s",
            each(rows),
            size(each(bytes))
        );
        if let Some(at) = of("watermark_seconds") {
            let instant = super::super::live::time((at * 1e3) as i64);
            let behind = unix_seconds() - at;
            let _ = writeln!(text, "      watermark {instant}, {behind:.1} s behind the clock");
        }
        let [memory, disk, entries] =
            ["state_bytes", "state_disk_bytes", "state_entries"].map(|name| of(name).unwrap_or_default());
        if memory + disk + entries > 0.0 {
            let (memory, disk) = (size(memory), size(disk));
            let _ = writeln!(text, "      state: {entries} entries, {memory} in memory, {disk} on disk");
        }
    }
}

fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

fn size(bytes: f64) -> String {
    match bytes {
        ..1_024.0 => format!("{bytes:.0} B"),
        ..1_048_576.0 => format!("{:.1} KiB", bytes / 1_024.0),
        ..1_073_741_824.0 => format!("{:.1} MiB", bytes / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes / 1_073_741_824.0),
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: &str = "\
# TYPE millstream_stage_records_total counter
millstream_stage_records_total{pipeline=\"p\",stage=\"s\"} 10
millstream_stage_counts_total{pipeline=\"p\",stage=\"s\",what=\"rejected.a \\\"b\\\"\"} 2
millstream_operator_rows_in_total{pipeline=\"p\",stage=\"s\",operator=\"sums\"} 30
millstream_operator_batches_in_total{pipeline=\"p\",stage=\"s\",operator=\"sums\"} 2
millstream_operator_bytes_in_total{pipeline=\"p\",stage=\"s\",operator=\"sums\"} 4096
millstream_operator_watermark_seconds{pipeline=\"p\",stage=\"s\",operator=\"sums\"} 1.5
millstream_operator_state_bytes{pipeline=\"p\",stage=\"s\",operator=\"sums\"} 3145728
process_resident_memory_bytes 7
";

    #[test]
    fn figures_of_workers_are_put_together() {
        let mut now = Now::default();
        now.add("p", FIGURES).expect("figures");
        now.add("p", &FIGURES.replace("} 1.5", "} 0.5")).expect("figures");
        let mut text = String::new();
        now.stage(&mut text, "s");
        now.operator(&mut text, "s", "sums");
        now.operator(&mut text, "s", "others");
        for part in [
            "now, of 2 workers: 20 records taken in over all runs\n",
            "60 rows came in 4 batches of 15 rows and 2.0 KiB on average",
            "watermark 1970-01-01",
            "state: 0 entries, 6.0 MiB in memory, 0 B on disk\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(now.add("q", FIGURES).is_err_and(|error| error.contains("they are of pipeline p")));
        assert!(now.add("p", "process_resident_memory_bytes 7\n").is_err());
    }
}

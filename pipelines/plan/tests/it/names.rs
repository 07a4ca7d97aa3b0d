//! PL-1: no two pipelines' names meet, for every pair of short pipeline names and ids that lint lets through.

use std::collections::BTreeMap;

use millstream_plan::names;

#[test]
fn names_of_different_pipelines_never_meet() {
    let pipelines = ["a", "a-b", "a-b-c", "b", "a-state", "a-positions", "a-b-state", "a-dead"];
    let ids = ["b", "c", "b_c", "s", "a", "lake", "dead_letter"];
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |name: String, who: String| {
        if let Some(other) = seen.insert(name.clone(), who.clone()) {
            panic!("PL-1: {name} is the name of {other} and of {who}");
        }
    };
    for pipeline in pipelines {
        add(names::positions_topic(pipeline), format!("{pipeline} positions"));
        add(names::splits_topic(pipeline), format!("{pipeline} splits"));
        add(names::dead_letter_topic(pipeline), format!("{pipeline} dead letters"));
        for id in ids {
            // Where a pipeline's name ends in what another's id makes, both exist only if one of them is taken: a-b and
            // (a, b) meet only in `a-b-…`, which needs a reserved id.
            add(names::sink_topic(pipeline, id), format!("{pipeline} {id} sink"));
            add(names::changelog_topic(pipeline, id), format!("{pipeline} {id} state"));
        }
    }
}

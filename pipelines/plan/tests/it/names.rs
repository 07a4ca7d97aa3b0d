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

#[test]
fn names_say_whose_they_are() {
    for pipeline in ["a", "a-b", "a-state", "a-positions", "a-b-state"] {
        for id in ["b", "b_c", "s"] {
            assert_eq!(names::pipeline_of(&names::changelog_topic(pipeline, id)), Some(pipeline));
            for instance in ["0", "host-7", "a-b-0"] {
                let worker = names::transactional_id(pipeline, id, instance);
                assert_eq!(names::group_of(pipeline, &worker), Some(names::group_id(pipeline, id).as_str()));
            }
        }
        assert_eq!(names::pipeline_of(&names::positions_topic(pipeline)), Some(pipeline));
        assert_eq!(names::group_of(pipeline, &names::restore_transactional_id(pipeline)), None);
    }
    assert_eq!(
        (names::pipeline_of("sales"), names::group_of("a", "ab-c-0"), names::group_of("a", "a-c")),
        (None, None, None)
    );
}

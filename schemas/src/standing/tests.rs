use super::*;

fn registered(texts: &[&str]) -> Vec<Registered> {
    let numbered = texts.iter().zip(1..);
    numbered.map(|(text, version)| Registered { version, id: 100 + version, text: (*text).to_owned() }).collect()
}

fn text(record: &str, version: u32) -> &'static str {
    RELEASES.iter().find(|release| release.record == record && release.version == version).unwrap().text
}

fn states(standing: &Standing) -> Vec<&State> {
    standing.releases.iter().map(|found| &found.state).collect()
}

#[test]
fn an_empty_registry_misses_every_release() {
    for record in Standing::records() {
        let standing = Standing::of(record, &[]);
        assert!(states(&standing).iter().all(|state| **state == State::Missing), "{standing:?}");
    }
    assert_eq!(Standing::subject("frame"), "frameline.Frame");
}

#[test]
fn the_same_schema_is_found_however_it_is_laid_out() {
    let compact: serde_json::Value = serde_json::from_str(text("manifest", 1)).unwrap();
    let standing = Standing::of("manifest", &registered(&[&compact.to_string()]));
    assert_eq!(states(&standing), [&State::Registered { version: 1, id: 101 }]);
    assert!(standing.others.is_empty());
}

#[test]
fn a_later_release_is_registered_beside_an_earlier_one_and_an_earlier_one_is_not_needed_then() {
    let standing = Standing::of("progress", &registered(&[text("progress", 1)]));
    assert_eq!(states(&standing), [&State::Registered { version: 1, id: 101 }, &State::Missing]);
    let standing = Standing::of("progress", &registered(&[text("progress", 2)]));
    assert_eq!(states(&standing), [&State::Past, &State::Registered { version: 1, id: 101 }]);
}

#[test]
fn a_version_of_somebody_else_that_does_not_go_with_ours_is_named_with_the_field() {
    let renamed = text("manifest", 1).replace(r#""name": "frames""#, r#""name": "pictures""#);
    let standing = Standing::of("manifest", &registered(&[&renamed]));
    let [State::Refused { reason }] = states(&standing)[..] else { panic!("{standing:?}") };
    assert!(reason.contains("version 1") && reason.contains("frames"), "{reason}");
    assert!(standing.others[0].unreadable.as_ref().unwrap().contains("frames"), "{standing:?}");
}

#[test]
fn a_later_version_of_somebody_else_that_ours_can_read_is_told_and_harmless() {
    let field = r#",{"name": "note", "type": ["null", "string"], "default": null}"#;
    let newer = text("manifest", 1);
    let newer = format!("{}{field}{}", &newer[..newer.rfind(']').unwrap()], &newer[newer.rfind(']').unwrap()..]);
    let standing = Standing::of("manifest", &registered(&[text("manifest", 1), &newer]));
    assert_eq!(states(&standing), [&State::Registered { version: 1, id: 101 }]);
    assert_eq!(standing.others, [Other { version: 2, id: 102, unreadable: None }]);
}

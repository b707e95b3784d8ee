use proptest::prelude::*;

use super::*;

#[test]
fn text_is_read_step_by_step() {
    let cases = [
        ("a", Path::attribute("a")),
        ("a.b", Path::attribute("a").key("b")),
        ("a[0]", Path::attribute("a").index(0)),
        (
            "a.b[3][409600].c",
            Path::attribute("a")
                .key("b")
                .index(3)
                .index(409_600)
                .key("c"),
        ),
        (
            " white space .#x.:y",
            Path::attribute(" white space ").key("#x").key(":y"),
        ),
        ("größe.\"q\"", Path::attribute("größe").key("\"q\"")),
    ];
    for (text, path) in cases {
        assert_eq!(Path::from(text), path, "{text}");
        assert_eq!(Path::from(text.to_owned()), path);
        assert_eq!(Path::from(&text.to_owned()), path);
        assert_eq!(path.to_string(), text);
        assert_eq!(path.steps().unwrap().check(), Ok(()));
    }
    assert_ne!(Path::from("a.b"), Path::attribute("a.b"));
    assert_eq!(format!("{:?}", Path::from("a[1]")), "Path(a[1])");
}

#[test]
fn names_with_dots_and_brackets_are_quoted() {
    let path = Path::attribute("a.b").key("[0]").key("").index(1).key("c");
    assert_eq!(path.to_string(), r#""a.b"."[0]".""[1].c"#);
}

#[test]
fn malformed_text_is_quoted() {
    let cases = [
        ("", "a name is missing"),
        (".a", "a name is missing"),
        ("a.", "a name is missing"),
        ("a..b", "a name is missing"),
        ("a.[0]", "a name is missing"),
        ("[0]", "a name is missing"),
        ("]", "a name is missing"),
        ("a[", "a bracket is not closed"),
        ("a[0", "a bracket is not closed"),
        ("a[]", "brackets hold the place"),
        ("a[x]", "brackets hold the place"),
        ("a[-1]", "brackets hold the place"),
        ("a[+1]", "brackets hold the place"),
        ("a[ 1]", "brackets hold the place"),
        ("a[01]", "brackets hold the place"),
        ("a[00]", "brackets hold the place"),
        ("a[409601]", "brackets hold the place"),
        ("a[99999999999999999999999]", "brackets hold the place"),
        ("a[0]b", "a dot is missing"),
        ("a]", "a dot is missing"),
        ("a[0]]", "a dot is missing"),
    ];
    for (text, problem) in cases {
        let path = Path::from(text);
        let error = path.steps().unwrap_err();
        assert!(error.contains(problem), "{error}");
        assert!(error.contains(&format!("`{text}`")), "{error}");
        assert_eq!(path.to_string(), text);
        let longer = path.clone().key("b").index(0);
        assert_eq!(longer, path, "it stays malformed");
    }
}

#[test]
fn limits_are_checked_at_the_boundary() {
    let deep = |steps: usize| (1..steps).fold(Path::attribute("a"), |path, _| path.key("b"));
    let cases = [
        (deep(32), None),
        (deep(33), Some("33 steps; up to 32 are allowed")),
        (
            Path::attribute(""),
            Some("a name of 0 bytes there; 1 to 65535 are"),
        ),
        (
            Path::attribute("a").key(""),
            Some("0 bytes there; 1 to 65535"),
        ),
        (Path::attribute("n".repeat(65_535)), None),
        (
            Path::attribute("n".repeat(65_536)),
            Some("65536 bytes there; 1 to 65535 are"),
        ),
        (Path::attribute("a").key("n".repeat(65_535)), None),
        (
            Path::attribute("a").index(0).key("n".repeat(65_536)),
            Some("65536 bytes there; 1 to 65535"),
        ),
        (Path::attribute("a").index(409_600), None),
        (
            Path::attribute("a").index(409_601),
            Some("has the place 409601"),
        ),
        (
            Path::attribute("a").index(usize::MAX),
            Some("has the place"),
        ),
    ];
    for (path, problem) in cases {
        match (path.steps().unwrap().check(), problem) {
            (Ok(()), None) => {}
            (Err(error), Some(problem)) => {
                assert!(error.contains(problem), "{problem}: {error}");
                assert!(error.contains(&format!("`{path}`")));
            }
            (checked, _) => panic!("{path}: {checked:?}"),
        }
    }
}

#[test]
fn paths_conflict_where_dynamodb_says_so() {
    let cases = [
        ("a", "a", true),
        ("a", "a.b", true),
        ("a", "a[0]", true),
        ("a[0]", "a[0].b", true),
        ("a.b", "a[0]", true),
        ("a.b[1].c", "a.b.c", true),
        ("a", "b", false),
        ("a", "ab", false),
        ("a.b", "a.c", false),
        ("a.b", "b.b", false),
        ("a[0]", "a[1]", false),
        ("a.b[0]", "a.c.d", false),
    ];
    for (one, two, conflict) in cases {
        let (one, two) = (Path::from(one), Path::from(two));
        let (one, two) = (one.steps().unwrap(), two.steps().unwrap());
        assert_eq!(one.conflicts(two), conflict, "{one} {two}");
        assert_eq!(two.conflicts(one), conflict, "{two} {one}");
    }
}

fn path(name: &'static str) -> impl Strategy<Value = Path> {
    let step = prop_oneof![
        name.prop_map(Step::Name),
        (0..=MAX_INDEX).prop_map(Step::Index),
    ];
    (name, prop::collection::vec(step, 0..31))
        .prop_map(|(name, steps)| steps.into_iter().fold(Path::attribute(name), Path::then))
}

proptest! {
    #[test]
    fn paths_round_trip_through_text(path in path("[^.\\[\\]]{1,20}")) {
        prop_assert_eq!(Path::from(path.to_string()), path);
    }

    #[test]
    fn no_text_is_read_as_another_path(path in path("[ab.\\[\\]\"]{0,3}")) {
        let text = path.to_string();
        let read = Path::from(text.as_str());
        prop_assert!(read.to_string() == text || read.steps().is_ok());
    }

    #[test]
    fn any_text_is_a_path_or_refused(text in "[ab01.\\[\\]]{0,12}|.{0,20}") {
        let path = Path::from(text.as_str());
        match path.steps() {
            Ok(steps) => prop_assert!(steps.check().is_ok()),
            Err(error) => prop_assert!(error.contains(&text)),
        }
        prop_assert_eq!(path.to_string(), text);
    }
}

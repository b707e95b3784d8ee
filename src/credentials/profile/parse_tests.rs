//! Text in, properties out.

use super::*;

/// Each property as `kind name: group/key = value @line`, `+` where it goes on.
fn shown(text: &str, format: Format) -> Result<Vec<String>, (usize, &'static str)> {
    let properties = match parse(text, format) {
        Ok(properties) => properties,
        Err(Malformed { line, problem }) => return Err((line, problem)),
    };
    let show = |it: &Property<'_>| {
        let Section { kind, name } = it.section;
        let Property {
            group,
            key,
            value,
            line,
            ..
        } = it;
        let group = format!("{group}{}", if group.is_empty() { "" } else { "/" });
        let more = if it.goes_on { "+" } else { "" };
        format!("{kind:?} {name}: {group}{key} = {value}{more} @{line}")
    };
    let keyed = properties.iter().filter(|it| !it.key.is_empty());
    Ok(keyed.map(show).collect())
}

fn sections(text: &str, format: Format) -> Vec<(Kind, String)> {
    let properties = parse(text, format).ok().unwrap();
    let section = |it: &Property<'_>| (it.section.kind, it.section.name.to_owned());
    properties.iter().map(section).collect()
}

#[test]
fn lines_of_a_profile() {
    const CASES: [(&str, &[&str]); 21] = [
        ("", &[]),
        ("\u{feff}[profile a]\nk=v", &["Profile a: k = v @2"]),
        (
            "[profile a]\r\nk = v\r\nl = w\r",
            &["Profile a: k = v @2", "Profile a: l = w @3"],
        ),
        ("\t \n[profile a]\n\n \nk = v\n", &["Profile a: k = v @5"]),
        ("[profile a]\nk \t= \tv \t", &["Profile a: k = v @2"]),
        ("[profile a]\nk = v=w==", &["Profile a: k = v=w== @2"]),
        ("[profile a]\nk =", &["Profile a: k =  @2"]),
        ("[profile a]\nk = \"v\"", &["Profile a: k = \"v\" @2"]),
        (
            "[profile a]\nk = \u{a0}v\u{1f512}\u{a0}",
            &["Profile a: k = \u{a0}v\u{1f512}\u{a0} @2"],
        ),
        // Comments.
        (
            "# c\n; c\n[profile a] # c\nk = v # c ; c",
            &["Profile a: k = v @4"],
        ),
        (
            "[profile a]; c\nk = v\t; c # c\n#l = w",
            &["Profile a: k = v @2"],
        ),
        (
            "[profile a]# c\nk = v;c\nl = v#c",
            &["Profile a: k = v;c @2", "Profile a: l = v#c @3"],
        ),
        (
            "[profile a]\nk = # c\nl =# c",
            &["Profile a: k =  @2", "Profile a: l = # c @3"],
        ),
        // More lines.
        (
            "[profile a]\nk = v\n  w\n\n\tx\nl = y",
            &["Profile a: k = v+ @2", "Profile a: l = y @6"],
        ),
        (
            "[profile a]\nk = v\n  # c\nl = w",
            &["Profile a: k = v @2", "Profile a: l = w @4"],
        ),
        (
            "[profile a]\nk = v\n l = w\n[profile b]\nm = x",
            &["Profile a: k = v+ @2", "Profile b: m = x @5"],
        ),
        // Nested.
        (
            "[profile a]\ns3 =\n  k = v # c\n\n\tl =\n# c\n  m=w\nn = x",
            &[
                "Profile a: s3 =  @2",
                "Profile a: s3/k = v @3",
                "Profile a: s3/l =  @5",
                "Profile a: s3/m = w @7",
                "Profile a: n = x @8",
            ],
        ),
        // All of a section indented, as Python has it.
        (
            "[profile a]\n  k = v\n  l =\n    m = w\n  n = x\n [profile b]\no = y",
            &[
                "Profile a: k = v @2",
                "Profile a: l =  @3",
                "Profile a: l/m = w @4",
                "Profile a: n = x @5",
                "Profile b: o = y @7",
            ],
        ),
        // What is there twice.
        (
            "[profile a]\nk = v\nK = w",
            &["Profile a: k = v @2", "Profile a: K = w @3"],
        ),
        (
            "[profile a]\nk = v\n[profile a]\nk = w",
            &["Profile a: k = v @2", "Profile a: k = w @4"],
        ),
        ("[profile a]\n[profile b]", &[]),
    ];
    for (text, expected) in CASES {
        let got = shown(text, Format::Config).unwrap();
        assert_eq!(got, expected, "{text:?}");
    }
}

#[test]
fn heads_of_sections() {
    use Kind::{Other, PlainDefault, Profile, Services};
    const CONFIG: [(&str, Kind, &str); 19] = [
        ("[profile a]", Profile, "a"),
        ("[ \tprofile \t a\t ]", Profile, "a"),
        ("[profile a/b.c%d@e_f:g+h-i]", Profile, "a/b.c%d@e_f:g+h-i"),
        ("[profile \"a b\"]", Profile, "a b"),
        ("[profile 'a ]#b' ] ; c", Profile, "a ]#b"),
        ("[profile a b]", Profile, "a b"),
        ("[profile default]", Profile, "default"),
        ("[profile o'neil]", Profile, "o'neil"),
        ("[default]", PlainDefault, "default"),
        ("[ default ]", PlainDefault, "default"),
        ("[services x]", Services, "x"),
        ("[sso-session x]", Other, "x"),
        ("[sso-sesion x]", Other, "x"),
        ("[Profile a]", Other, "a"),
        ("[profilea]", Other, "profilea"),
        ("[profile]", Other, "profile"),
        ("[profile ]", Other, "profile"),
        ("[a]", Other, "a"),
        ("[\"profile a\"]", Other, "profile a"),
    ];
    for (text, kind, name) in CONFIG {
        let expected = [(kind, name.to_owned())];
        assert_eq!(sections(text, Format::Config), expected, "{text}");
    }
    const CREDENTIALS: [(&str, &str); 6] = [
        ("[a]", "a"),
        ("[ a\t]#c", "a"),
        ("[default]", "default"),
        ("[\"a b\"]", "a b"),
        ("[a b]", "a b"),
        ("[profile a]", "profile a"),
    ];
    for (text, name) in CREDENTIALS {
        let expected = [(Profile, name.to_owned())];
        assert_eq!(sections(text, Format::Credentials), expected, "{text}");
    }
}

#[test]
fn malformed_lines_are_counted_and_not_shown() {
    const FIRST: &str = "stands before the first section";
    const NO_EQUALS: &str = "has no =";
    const NO_NAME: &str = "has no name before the =";
    const OPEN: &str = "is a section without ]";
    const NAMELESS: &str = "is a section without a name";
    const CASES: [(&str, usize, &str); 22] = [
        ("k = v", 1, FIRST),
        ("# c\n\n  k = v", 3, FIRST),
        ("\u{feff}\u{feff}[profile a]", 1, NO_EQUALS),
        ("[profile a]\nXYZZY", 2, NO_EQUALS),
        ("[profile a]\r\n\r\nXYZZY: v\r\n", 3, NO_EQUALS),
        ("[profile a]\nXYZZY # = v", 2, NO_EQUALS),
        ("[profile a]\n XYZZY", 2, NO_EQUALS),
        ("[profile a]\nk = v\n[profile a]\n  XYZZY", 4, NO_EQUALS),
        ("[profile a]\n= XYZZY", 2, NO_NAME),
        ("[profile a]\n \t= XYZZY", 2, NO_NAME),
        ("[profile a]\ns3 =\n  XYZZY", 3, NO_EQUALS),
        ("[profile a]\ns3 =\n  k = v\n  = XYZZY", 4, NO_NAME),
        ("[sso-session a]\nk = v\nXYZZY", 3, NO_EQUALS),
        ("[profile a", 1, OPEN),
        ("[profile a]\n[", 2, OPEN),
        ("[profile a # ]", 1, OPEN),
        ("[profile \"a\" b]", 1, OPEN),
        ("[profile \"a]", 1, "has a quote that is not closed"),
        (
            "[profile a] k = XYZZY",
            1,
            "has something after the ] of a section",
        ),
        ("[]", 1, NAMELESS),
        ("[profile \"\"]", 1, NAMELESS),
        ("[profile a]\n[ ]", 2, NAMELESS),
    ];
    for (text, line, problem) in CASES {
        assert_eq!(
            shown(text, Format::Config),
            Err((line, problem)),
            "{text:?}"
        );
        assert!(!problem.contains("XYZZY"));
    }
    for (text, line, problem) in [
        ("[a]\nb", 2, NO_EQUALS),
        ("[a", 1, OPEN),
        ("[ ]", 1, NAMELESS),
        ("a = b", 1, FIRST),
    ] {
        assert_eq!(
            shown(text, Format::Credentials),
            Err((line, problem)),
            "{text:?}"
        );
    }
}

#[test]
fn much_text_takes_no_longer_than_it_must() {
    let many = "[a]\nb=#;c\n".repeat(100_000);
    assert_eq!(
        parse(&many, Format::Credentials).ok().unwrap().len(),
        200_000
    );
    let comments = ["[a]\nb = ", &"x#".repeat(500_000)].concat();
    assert_eq!(parse(&comments, Format::Credentials).ok().unwrap().len(), 2);
}

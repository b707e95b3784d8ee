//! Whole updates: what they become, and what is refused.

use proptest::prelude::*;

use super::changes::{Element, length};
use super::*;
use crate::options::AttributeNames;
use crate::wire::{Number, Placeholders, Set};

pub(super) fn key() -> Item {
    Item::from_iter([("id", AttributeValue::from("job-42")), ("seq", 7.into())])
}

pub(super) fn parse(update: &Update) -> Result<Changes, String> {
    let (key, names) = (key(), AttributeNames::default());
    let subject = Subject {
        key: &key,
        names: &names,
    };
    update.parse(&subject).map_err(|error| {
        assert!(error.is_invalid_option());
        error.to_string()
    })
}

fn texts(set: &[&str]) -> Set<String> {
    Set::new(set.iter().map(|text| (*text).to_owned())).unwrap()
}

/// An error has the form `update: …`, and never shows this.
const SECRET: &str = "hunter2";

#[test]
fn updates_have_these_expressions() {
    let s = || Update::new();
    let item = Item::from_iter([
        ("b", AttributeValue::from(1)),
        ("id", "job-42".into()),
        ("seq", "7".parse::<Number>().unwrap().into()),
        ("a.b", AttributeValue::Null),
    ]);
    // The update, and its clauses SET, REMOVE, ADD, DELETE and condition.
    let cases: [(Update, [&str; 5]); 16] = [
        (s(), ["", "", "", "", ""]),
        (s().set("a", 1), ["#0=:0", "", "", "", ""]),
        (
            s().set("a.b[3].c", 1).set("c", "x").set("a.size", true),
            ["#0.#1[3].#2=:0,#2=:1,#0.#3=:2", "", "", "", ""],
        ),
        (
            s().set_if_absent("a.b", 1),
            ["#0.#1=if_not_exists(#0.#1,:0)", "", "", "", ""],
        ),
        (
            s().append("a", [1, 2]),
            ["#0=list_append(if_not_exists(#0,:0),:1)", "", "", "", ""],
        ),
        (
            s().append("a", Vec::<AttributeValue>::new()),
            ["#0=list_append(if_not_exists(#0,:0),:1)", "", "", "", ""],
        ),
        (
            s().add("n", -1).add("m.set", texts(&["x"])),
            ["", "", "#0 :0,#1.#2 :1", "", ""],
        ),
        (
            s().remove("a")
                .remove("b[0]")
                .delete_from_set("c", texts(&["x"])),
            ["", "#0,#1[0]", "", "#2 :0", ""],
        ),
        (s().set_item(&item), ["#0=:0,#1=:1", "", "", "", ""]),
        (
            s().set("a", 1)
                .raw_set(" #c = #c + :n , other=list_append ( :l, if_not_exists(x.#c[ 3 ],:n) )")
                .raw_set("d = (e - :n)")
                .name("#c", "count.er")
                .value(":n", 1)
                .value(":l", AttributeValue::L(vec![])),
            [
                "#0=:0,#1=#1+:1,#2=list_append(:2,if_not_exists(#3.#1[3],:1)),#4=(#5-:1)",
                "",
                "",
                "",
                "",
            ],
        ),
        (
            s().raw_remove("a , size.AND")
                .raw_add("n :n, m.s[0] :n")
                .raw_delete("d :s")
                .value(":n", 1)
                .value(":s", texts(&["x"])),
            ["", "#0,#1.#2", "#3 :0,#4.#5[0] :0", "#6 :1", ""],
        ),
        (
            s().condition("x = :x or\ty<>:x").value(":x", 1),
            ["", "", "", "", "(#0=:0 OR #1<>:0)"],
        ),
        (
            // Own parentheses suffice, where they are around everything.
            s().condition("(x = :x OR y = :x)")
                .condition("(x = :x) OR (y = :x)")
                .value(":x", 1),
            ["", "", "", "", "(#0=:0 OR #1=:0) AND ((#0=:0) OR (#1=:0))"],
        ),
        (
            s().condition("not attribute_exists(a.b) and size (s) between :x and :y")
                .condition("#k In (:x, :y)")
                .condition("contains(s,:x) AND (NOT begins_with(t,:y) OR attribute_type(u,:x))")
                .condition("attribute_not_exists(size) AND a<:x AND a<=:x AND a>:x AND a>=:x")
                .name("#k", "set")
                .value(":x", 1)
                .value(":y", 2),
            [
                "",
                "",
                "",
                "",
                "( NOT attribute_exists(#0.#1) AND size(#2) BETWEEN :0 AND :1) \
                 AND (#3 IN (:0,:1)) \
                 AND (contains(#2,:0) AND ( NOT begins_with(#4,:1) OR attribute_type(#5,:0))) \
                 AND (attribute_not_exists(#6) AND #0<:0 AND #0<=:0 AND #0>:0 AND #0>=:0)",
            ],
        ),
        (
            // Conditions read what they like, and nested names are free.
            s().condition("id = :x AND dynoLockFence = :x AND #v = :x")
                .set("a.id", 1)
                .set("a.dynoLockFence", 1)
                .raw_set("b.id = c.dynoLockOwner + b.#v")
                .name("#v", "dynoLockVersion")
                .value(":x", 1),
            [
                "#0.#1=:0,#0.#2=:1,#3.#1=#4.#5+#3.#6",
                "",
                "",
                "",
                "(#1=:2 AND #2=:2 AND #6=:2)",
            ],
        ),
        (
            // Names and values that are given twice with one content are one.
            s().raw_set("a = #n")
                .condition("#n = :v")
                .name("#n", "n")
                .name("#n", "n")
                .value(":v", 1)
                .value(":v", 1),
            ["#0=#1", "", "", "", "(#1=:0)"],
        ),
    ];
    for (update, [set, remove, add, delete, condition]) in cases {
        let changes = parse(&update).unwrap();
        let mut placeholders = Placeholders::default();
        let expected = Rendered {
            set: set.into(),
            remove: remove.into(),
            add: add.into(),
            delete: delete.into(),
            condition: (!condition.is_empty()).then(|| condition.into()),
        };
        assert_eq!(changes.render(&mut placeholders), expected, "{update:?}");
        let empty = [set, remove, add, delete] == [""; 4];
        assert_eq!(changes.is_empty(), empty, "{update:?}");
        assert_eq!(changes.has_condition(), !condition.is_empty(), "{update:?}");
    }
}

#[test]
fn placeholders_are_shared_with_the_lock() {
    let update = Update::new()
        .raw_set("#0 = :0")
        .condition("#1 = :0")
        .name("#0", "a")
        .name("#1", "dynoLockFence")
        .value(":0", "user's");
    let changes = parse(&update).unwrap();
    for _ in 0..2 {
        let mut placeholders = Placeholders::default();
        placeholders.name("dynoLockExpires");
        placeholders.name("dynoLockFence");
        placeholders.value(17);
        let rendered = changes.render(&mut placeholders);
        assert_eq!(rendered.set, "#2=:1");
        assert_eq!(rendered.condition.as_deref(), Some("(#1=:1)"));
    }
}

#[test]
fn bad_updates_are_refused() {
    let s = || Update::new();
    let set = || texts(&["x"]);
    let huge = || AttributeValue::from(SECRET.repeat(60_000));
    let cases: Vec<(Update, &str)> = vec![
        // Paths.
        (
            s().set("a..b", SECRET),
            "the path `a..b` is malformed: a name is missing",
        ),
        (s().remove(""), "the path `` is malformed"),
        (s().append(Path::attribute(""), [1]), "a name of 0 bytes"),
        (
            s().raw_remove("a[409601]"),
            "the bracket at byte 1 does not hold",
        ),
        (s().raw_remove("#n").name("#n", ""), "a name of 0 bytes"),
        (
            s().condition("#n = a").name("#n", "n".repeat(65_536)),
            "a name of 65536 bytes",
        ),
        (s().raw_remove("a[5"), "the bracket at byte 1 does not hold"),
        (s().raw_remove("a[]"), "the bracket at byte 1 does not hold"),
        (
            s().raw_remove("a[b]"),
            "the bracket at byte 1 does not hold",
        ),
        (
            s().raw_remove("a[01]"),
            "the bracket at byte 1 does not hold",
        ),
        (
            s().raw_remove("a]"),
            "REMOVE: ']' is not expected at byte 1",
        ),
        // Off limits.
        (s().set("id", "job-42"), "`id` is an attribute of the key"),
        (s().set("id.x", 1), "`id` is an attribute of the key"),
        (s().remove("seq[0]"), "`seq` is an attribute of the key"),
        (
            s().add("dynoLockExpires", 1),
            "`dynoLockExpires` is an attribute of the lock",
        ),
        (
            s().append("dynoLockLeaseDuration", [1]),
            "is an attribute of the lock",
        ),
        (
            s().set_if_absent("dynoLockVersion", 1),
            "is an attribute of the lock",
        ),
        (
            s().delete_from_set("dynoLockFence", set()),
            "is an attribute of the lock",
        ),
        (
            s().set(Path::attribute("dynoLockOwner"), 1),
            "is an attribute of the lock",
        ),
        (
            s().raw_set("id = :x").value(":x", 1),
            "`id` is an attribute of the key",
        ),
        (s().raw_set("a = id"), "`id` is an attribute of the key"),
        (
            s().raw_set("a = if_not_exists(b.c, #l.x)")
                .name("#l", "dynoLockFence"),
            "of the lock",
        ),
        (
            s().raw_remove("a, #l").name("#l", "dynoLockOwner"),
            "of the lock",
        ),
        (
            s().raw_add("dynoLockExpires :x").value(":x", 1),
            "of the lock",
        ),
        (
            s().raw_delete("seq :x").value(":x", set()),
            "`seq` is an attribute of the key",
        ),
        (
            s().set_item(&Item::from_iter([("id", SECRET)])),
            "`id` is an attribute of the key, and has another value",
        ),
        (
            s().set_item(&Item::from_iter([("dynoLockFence", 1)])),
            "of the lock",
        ),
        // Overlaps.
        (s().set("a", 1).remove("a"), "`a` is changed twice"),
        (
            s().set("a.b", 1).set("c", 1).add("a", 1),
            "`a` and `a.b` cannot both be changed",
        ),
        (
            s().remove("a[0].b").raw_remove("x, a[0]"),
            "`a[0]` and `a[0].b` cannot",
        ),
        (s().set("a.b", 1).remove("a[0]"), "`a.b` and `a[0]` cannot"),
        (
            s().set("a", 1)
                .raw_add("b :x, #a.c :x")
                .name("#a", "a")
                .value(":x", 1),
            "`a` and `a.c`",
        ),
        (
            s().set("a", 1).raw_delete("a[0].c :x").value(":x", set()),
            "`a` and `a[0].c`",
        ),
        (s().raw_set("a = b, a = c"), "`a` is changed twice"),
        (
            s().set_item(&Item::from_iter([("a", 1)])).remove("a.b"),
            "`a` and `a.b`",
        ),
        // Values.
        (s().set("a.b", huge()), "`a.b`: size is 420000 bytes"),
        (
            s().raw_set("a = :x").value(":x", huge()),
            "`:x`: size is 420000 bytes",
        ),
        (s().append("a", [huge()]), "`a`: size is"),
        (
            s().set("a", Item::from_iter([("", SECRET)])),
            "attribute name has 0 bytes",
        ),
        (
            s().add("a", SECRET),
            "`a`: only numbers and sets can be added",
        ),
        (
            s().add("a", AttributeValue::L(vec![SECRET.into()])),
            "`a`: only numbers and sets can be added",
        ),
        (
            s().delete_from_set("a.b", 1),
            "`a.b`: only sets can be deleted",
        ),
        (
            s().raw_add("a :x").value(":x", SECRET),
            "`a`: only numbers and sets",
        ),
        (
            s().raw_delete("a :x").value(":x", 1),
            "`a`: only sets can be deleted",
        ),
        // Placeholders.
        (
            s().raw_set("#a = :x").value(":x", SECRET),
            "SET: `#a` is not given",
        ),
        (s().raw_remove("a.#b"), "REMOVE: `#b` is not given"),
        (s().condition("a = :x"), "condition: `:x` is not given"),
        (
            s().set("a", 1).name("#n", "n"),
            "`#n` is given but not used",
        ),
        (
            s().set("a", 1).value(":x", SECRET),
            "`:x` is given but not used",
        ),
        (s().name("#n", "n").name("#n", "m"), "`#n` is given twice"),
        (
            s().value(":x", SECRET).value(":x", 1),
            "`:x` is given twice",
        ),
        (s().name("n", "n"), "`n` is no placeholder: `#`, then"),
        (s().name("#", "n"), "`#` is no placeholder"),
        (s().name(":n", "n"), "`:n` is no placeholder"),
        (s().value("#x", SECRET), "`#x` is no placeholder: `:`, then"),
        (s().value(":x-y", SECRET), "`:x-y` is no placeholder"),
        // Clauses.
        (s().raw_set(""), "SET: there is nothing in it"),
        (s().raw_set("SET a = b"), "SET: `SET` begins a clause"),
        (
            s().raw_set("a = b Remove c"),
            "SET: `Remove` begins a clause",
        ),
        (s().raw_remove("a ADD b"), "REMOVE: `ADD` begins a clause"),
        (
            s().raw_add("delete :x").value(":x", 1),
            "ADD: `delete` begins a clause",
        ),
        (
            s().raw_set("a"),
            "SET: action 1 is not of the form `path = value`",
        ),
        (s().raw_set("a = b, c"), "SET: action 2 is not of the form"),
        (s().raw_set("a = b = c"), "SET: action 1 is not of the form"),
        (s().raw_set("a + b = c"), "SET: action 1 is not of the form"),
        (s().raw_set("a = b,"), "SET: it ends too early"),
        (s().raw_set(", a = b"), "SET: ',' is not expected at byte 0"),
        (
            s().raw_set("a = if_not_exists(b = c, d)"),
            "SET: action 1 is not of the form",
        ),
        (
            s().raw_set("a = size(b)"),
            "SET: `size` is no function here; there are if_not_exists, ",
        ),
        (
            s().raw_set("a = If_not_exists(b, c)"),
            "SET: `If_not_exists` is no function",
        ),
        (
            s().raw_set("a = b < c"),
            "SET: '<' is not expected at byte 6",
        ),
        (s().raw_set("a = b c"), "SET: 'c' is not expected at byte 6"),
        (
            s().raw_set("a = 5"),
            "SET: '5' is not expected at byte 4; values go in by",
        ),
        (
            s().raw_set(format!("a = '{SECRET}'")),
            "SET: '\\'' is not expected at byte 4; values go",
        ),
        (
            s().raw_set("a = b; c = d"),
            "SET: ';' is not expected at byte 5",
        ),
        (
            s().raw_set("a\u{a0}= b"),
            "SET: '\\u{a0}' is not expected at byte 1",
        ),
        (
            s().raw_set("größe = b"),
            "SET: 'ö' is not expected at byte 2",
        ),
        (s().raw_set("a = # b"), "SET: '#' is not expected at byte 4"),
        (
            s().raw_set("a = b."),
            "SET: a name is missing after the dot at byte 5",
        ),
        (s().raw_set("a = .b"), "SET: '.' is not expected at byte 4"),
        (s().raw_set("[0] = b"), "SET: '[' is not expected at byte 0"),
        (
            s().raw_set("a = ((b + c))"),
            "SET: the parentheses that end at byte 12 are redundant",
        ),
        (s().raw_set("a = (b"), "SET: a parenthesis is not closed"),
        (s().raw_set("a = b)"), "SET: ')' is not expected at byte 5"),
        (
            s().raw_set("a = b), (c = d"),
            "SET: ')' is not expected at byte 5",
        ),
        (
            s().raw_set("a = (b, c)"),
            "SET: ',' is not expected at byte 6",
        ),
        (
            s().raw_remove("a = b"),
            "REMOVE: action 1 is not of the form `path`",
        ),
        (s().raw_remove("a b"), "REMOVE: action 1 is not"),
        (s().raw_remove("a,,b"), "REMOVE: action 2 is not"),
        (s().raw_remove("(a)"), "REMOVE: action 1 is not"),
        (
            s().raw_add("a"),
            "ADD: action 1 is not of the form `path :value`",
        ),
        (s().raw_add("a b"), "ADD: action 1 is not"),
        (
            s().raw_delete("a :x :x").value(":x", set()),
            "DELETE: action 1 is not",
        ),
        // Conditions.
        (s().condition(""), "condition: there is nothing in it"),
        (s().condition(" \t\n"), "condition: there is nothing in it"),
        (
            s().condition("a = b) OR (c = d"),
            "condition: ')' is not expected at byte 5",
        ),
        (
            s().condition("a = b) OR c = d OR (e = f"),
            "condition: ')' is not expected at byte 5",
        ),
        (
            s().condition(")("),
            "condition: ')' is not expected at byte 0",
        ),
        (
            s().condition("(a = b"),
            "condition: a parenthesis is not closed",
        ),
        (
            s().condition("((a = b))"),
            "condition: the parentheses that end at byte 8 are redundant",
        ),
        (s().condition("a = b AND ((c = d))"), "are redundant"),
        (s().condition("a = b AND"), "condition: it ends too early"),
        (
            s().condition("OR a = b"),
            "condition: 'O' is not expected at byte 0",
        ),
        (
            s().condition("a NOT = b"),
            "condition: 'N' is not expected at byte 2",
        ),
        (
            s().condition("a < > b"),
            "condition: '>' is not expected at byte 4",
        ),
        (
            s().condition("a + b = c"),
            "condition: '+' is not expected at byte 2",
        ),
        (
            s().condition("a = b, c = d"),
            "condition: ',' is not expected at byte 5",
        ),
        (
            s().condition("a = (b, c)"),
            "condition: ',' is not expected at byte 6",
        ),
        (
            s().condition("a IN b"),
            "condition: 'I' is not expected at byte 2",
        ),
        (
            s().condition("a IN ()"),
            "condition: ')' is not expected at byte 6",
        ),
        (
            s().condition("f(a)"),
            "condition: `f` is no function here; there are attribute_exists",
        ),
        (
            s().condition("list_append(a, b) = c"),
            "condition: `list_append` is no function",
        ),
        (
            s().condition("SIZE(a) = b"),
            "condition: `SIZE` is no function",
        ),
        (
            s().condition("#f(a)").name("#f", "size"),
            "condition: '(' is not expected at byte 2",
        ),
        (
            s().condition("a != b"),
            "condition: '!' is not expected at byte 2",
        ),
        (
            s().condition("a = b -- c"),
            "condition: '-' is not expected at byte 6",
        ),
        (
            s().condition("a = b").condition("c ="),
            "condition: it ends too early",
        ),
    ];
    for (update, expected) in cases {
        let error = parse(&update).expect_err(expected);
        assert!(error.starts_with("update: "), "{error}");
        assert!(error.contains(expected), "{error:?} has no {expected:?}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[test]
fn limits_are_checked_at_the_boundary() {
    let name = |at: usize| format!("n{at}");
    let sets = |count: usize| (0..count).fold(Update::new(), |it, at| it.set(name(at), 1));
    let removes = |count: usize| (0..count).fold(Update::new(), |it, at| it.remove(name(at)));
    let sum = |count: usize| {
        let numbers: Vec<_> = (0..count).map(|_| ":n").collect();
        let text = format!("a = {}", numbers.join("+"));
        Update::new().raw_set(text).value(":n", 1)
    };
    let all = |what: &str, count: usize| {
        let parts: Vec<_> = (0..count).map(|_| what).collect();
        Update::new().condition(parts.join(" AND ")).value(":n", 1)
    };
    let list = |count: usize| {
        let operands: Vec<_> = (0..count).map(|_| ":n").collect();
        let text = format!("a IN ({})", operands.join(","));
        Update::new().condition(text).value(":n", 1)
    };
    // A value of 400,000 bytes each.
    let sized = |count: usize, last: usize| {
        let text = "x".repeat(400_000);
        (0..count)
            .fold(Update::new(), |it, at| it.set(name(at), text.as_str()))
            .set("last", "x".repeat(last))
    };
    let cases = [
        // "SET" and 2 spaces, and 10 bytes each.
        (sets(389), None),
        (
            sets(390),
            Some("3905 bytes in the update expression; up to 3896"),
        ),
        // A longer placeholder, once there may be a thousand.
        (removes(777), None),
        (removes(778), Some("3898 bytes in the update expression")),
        (removes(901), Some("5414 bytes in the update expression")),
        (sum(297), None),
        (sum(298), Some("297 operators and functions in the update")),
        // n comparisons and n - 1 times AND.
        (all("a=:n", 142), None),
        (
            all("a=:n", 143),
            Some("285 operators and functions in the condition; up to 284"),
        ),
        (all("a.b.c.d.e.f.g.h=:n", 65), None),
        (
            all("a.b.c.d.e.f.g.h=:n", 66),
            Some("3231 bytes in the condition; up to 3196"),
        ),
        (list(100), None),
        (list(101), Some("`IN` has more than 100 operands")),
        // Five names `n0` to `n4` and `last`.
        (sized(5, 88_960 - 14), None),
        (
            sized(5, 88_960 - 13),
            Some("2088961 bytes of names and values; up to 2088960"),
        ),
    ];
    for (at, (update, problem)) in cases.into_iter().enumerate() {
        match (parse(&update), problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => assert!(error.contains(problem), "{at}: {error}"),
            (parsed, _) => panic!("{at}: {:?}", parsed.map(|_| ())),
        }
    }
}

#[test]
fn lengths_are_those_of_the_rendered_text() {
    let update = Update::new()
        .raw_set("a.b[10][0][123] = if_not_exists(c, :x) - :x")
        .raw_add("a.c :x")
        .condition("NOT (a = :x) AND b IN (:x, :x) OR size(c) BETWEEN :x AND :x")
        .value(":x", 1);
    let changes = parse(&update).unwrap();
    let rendered = changes.render(&mut Placeholders::default());
    // Placeholders have two bytes each as long as there are few.
    let measured = |actions: &[Vec<Element>]| length(&actions[0], 2);
    assert_eq!(measured(&changes.set), rendered.set.len());
    assert_eq!(measured(&changes.add), rendered.add.len());
    let condition = rendered.condition.unwrap();
    assert_eq!(
        length(&changes.condition, 2),
        condition.len(),
        "{condition}"
    );
}

#[test]
fn debug_shows_paths_and_no_values() {
    let update = Update::new()
        .set("a.b", SECRET)
        .append(Path::attribute("x.y"), [SECRET])
        .set_item(&Item::from_iter([("i", SECRET)]))
        .raw_set(format!("c = '{SECRET}'"))
        .condition(format!("a = '{SECRET}'"))
        .name("#n", "n")
        .value(":v", SECRET);
    assert_eq!(
        format!("{update:?}"),
        concat!(
            r#"Update { changes: [Set(a.b), Append("x.y"), SetAttribute(i), Raw(SET)], "#,
            r##"conditions: 1, names: ["#n"], values: [":v"] }"##
        )
    );
}

/// Text that is nearly a clause or a condition.
fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "b.c",
        "id",
        "dynoLockFence",
        "#k",
        "#f",
        "#n",
        ":x",
        "[0]",
        "(",
        ")",
        ",",
        ".",
        "=",
        "+",
        "<",
        "<>",
        "AND",
        "OR",
        "NOT",
        "IN",
        "BETWEEN",
        "SET",
        "REMOVE",
        "if_not_exists(",
        "list_append",
        "size(",
        "attribute_exists",
        "'",
        "5",
        "a = :x",
        "(a = :x)",
        ":x)",
        "id.a",
    ]);
    let words = prop::collection::vec(word, 0..12);
    prop_oneof![
        9 => (words, prop::sample::select(vec!["", " "])).prop_map(|(it, gap)| it.join(gap)),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// See there for what must hold.
    #[test]
    fn what_is_accepted_keeps_to_its_place(part in "[sradc]", text in text()) {
        crate::internals::update_expression::body(format!("{part}{text}").as_bytes());
    }
}

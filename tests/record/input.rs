//! Updates that are wrong in themselves are refused before anything is sent.

use dynolock::{AttributeValue, Item, Path, Update};
use serde_json::json;

use super::{one_more, record};
use crate::scene::{Scene, soon};
use crate::support::recorded::Step;

/// A bad update, and what the error must say.
type BadUpdate = (&'static str, fn() -> Update, &'static [&'static str]);

const BAD_UPDATES: &[BadUpdate] = &[
    ("the key", || new().set("id", "b"), &["`id`", "key"]),
    (
        "the key, unchanged",
        || new().set("id", "a"),
        &["`id`", "key"],
    ),
    ("the key, removed", || new().remove("id"), &["`id`", "key"]),
    ("inside the key", || new().set("id.x", 1), &["`id`", "key"]),
    (
        "another key in an item",
        || new().set_item(&Item::from_iter([("id", "b")])),
        &["`id`", "key"],
    ),
    (
        "the key, aliased",
        || new().raw_set("#k = :v").name("#k", "id").value(":v", "b"),
        &["`id`", "key"],
    ),
    (
        "the key, read",
        || new().raw_set("x = id"),
        &["`id`", "key"],
    ),
    (
        "the version",
        || new().set("dynoLockVersion", "x"),
        &["`dynoLockVersion`", "lock"],
    ),
    (
        "the fence",
        || new().add("dynoLockFence", 1),
        &["`dynoLockFence`", "lock"],
    ),
    (
        "the expiry",
        || new().remove("dynoLockExpires"),
        &["`dynoLockExpires`", "lock"],
    ),
    (
        "the owner, if absent",
        || new().set_if_absent("dynoLockOwner", "x"),
        &["`dynoLockOwner`", "lock"],
    ),
    (
        "inside the owner",
        || new().append("dynoLockOwner[0]", ["x"]),
        &["`dynoLockOwner`", "lock"],
    ),
    (
        "the lease, of an item",
        || new().set_item(&Item::from_iter([("dynoLockLeaseDuration", 1)])),
        &["`dynoLockLeaseDuration`", "lock"],
    ),
    (
        "a lock attribute, raw",
        || new().raw_remove("x, dynoLockVersion"),
        &["`dynoLockVersion`", "lock"],
    ),
    (
        "a lock attribute, aliased",
        || {
            new()
                .raw_set("#v = :v")
                .name("#v", "dynoLockVersion")
                .value(":v", "x")
        },
        &["`dynoLockVersion`", "lock"],
    ),
    (
        "a lock attribute, aliased and inside",
        || {
            new()
                .raw_add("#f.x[2] :v")
                .name("#f", "dynoLockFence")
                .value(":v", 1)
        },
        &["`dynoLockFence`", "lock"],
    ),
    (
        "a lock attribute, read",
        || {
            new()
                .raw_set("x = if_not_exists(y, #f)")
                .name("#f", "dynoLockFence")
        },
        &["`dynoLockFence`", "lock"],
    ),
    ("twice", || new().set("x", 1).add("x", 1), &["`x`", "twice"]),
    (
        "twice, aliased",
        || {
            new()
                .remove("x")
                .raw_set("#x = :v")
                .name("#x", "x")
                .value(":v", 1)
        },
        &["`x`", "twice"],
    ),
    (
        "a map and what is in it",
        || new().set("m", 1).set("m.k", 1),
        &["`m`", "`m.k`", "overlap"],
    ),
    (
        "an element and what is in it",
        || new().remove("l[1]").set("l[1].k[2]", 1),
        &["`l[1]`", "overlap"],
    ),
    ("no path", || new().set("", 1), &["path", "missing"]),
    (
        "a path of a dot",
        || new().set("a..b", 1),
        &["`a..b`", "malformed"],
    ),
    (
        "an open bracket",
        || new().remove("a[1"),
        &["`a[1`", "bracket"],
    ),
    ("no place", || new().add("a[x]", 1), &["`a[x]`", "brackets"]),
    (
        "a negative place",
        || new().set("a[-1]", 1),
        &["`a[-1]`", "brackets"],
    ),
    (
        "a name behind brackets",
        || new().set("a[0]b", 1),
        &["`a[0]b`", "dot"],
    ),
    (
        "a deep path",
        || {
            new().set(
                (0..32).fold(Path::attribute("a"), |path, _| path.key("k")),
                1,
            )
        },
        &["33 steps", "32"],
    ),
    (
        "a long name",
        || new().set(Path::attribute("x".repeat(65_536)), 1),
        &["65536 bytes", "65535"],
    ),
    (
        "a condition that is not closed",
        || new().condition("(id = id"),
        &["condition", "closed"],
    ),
    (
        "a condition closed twice",
        || new().condition("id = id)"),
        &["condition", "byte 7"],
    ),
    (
        "no condition",
        || new().condition(" "),
        &["condition", "nothing"],
    ),
    (
        "half a condition",
        || new().condition("id ="),
        &["condition", "early"],
    ),
    (
        "an unknown function",
        || new().condition("is_nice(id)"),
        &["condition", "`is_nice`"],
    ),
    (
        "a literal",
        || new().condition("n = 5"),
        &["condition", "placeholders"],
    ),
    (
        "a value not given",
        || new().condition("n = :n"),
        &["`:n`", "not given"],
    ),
    (
        "a name not given",
        || new().raw_remove("#n"),
        &["REMOVE", "`#n`"],
    ),
    (
        "a value not used",
        || new().value(":n", 1),
        &["`:n`", "not used"],
    ),
    (
        "a keyword",
        || new().raw_set("SET x = y"),
        &["SET", "clause"],
    ),
    (
        "another clause behind",
        || new().raw_set("x = y REMOVE dynoLockVersion"),
        &["SET", "`REMOVE`"],
    ),
    (
        "no assignment",
        || new().raw_set("x"),
        &["SET", "path = value"],
    ),
    (
        "a text added",
        || new().add("x", "y"),
        &["`x`", "numbers and sets"],
    ),
    (
        "a number deleted from a set",
        || new().delete_from_set("x", 1),
        &["`x`", "sets"],
    ),
    (
        "too many changes",
        || (0..1000).fold(new(), |update, n| update.set(format!("a{n}"), n)),
        &["bytes in the update expression"],
    ),
    (
        "too long a condition",
        || new().condition(["attribute_exists(id)"; 200].join(" AND ")),
        &["bytes in the condition"],
    ),
    (
        "too many operators",
        || {
            let update = new().raw_set(format!("x = n{}", "+n".repeat(297)));
            update.set("y", 1)
        },
        &["operators"],
    ),
    (
        "101 operands of IN",
        || new().condition(format!("id IN ({})", ["id"; 101].join(","))),
        &["IN", "100"],
    ),
    (
        "too large a value",
        || new().set("x", "v".repeat(400 * 1024 + 1)),
        &["`x`"],
    ),
    (
        "too large a value of a placeholder",
        || {
            new()
                .condition("x = :x")
                .value(":x", "v".repeat(400 * 1024 + 1))
        },
        &["`:x`"],
    ),
    (
        "too much in all",
        || {
            (0..6).fold(new(), |update, n| {
                update.set(format!("a{n}"), "v".repeat(399_000))
            })
        },
        &["bytes of names and values"],
    ),
    (
        "too deep a value",
        || {
            let deep = (0..40).fold(AttributeValue::Null, |inner, _| {
                AttributeValue::L(vec![inner])
            });
            new().set("x", deep)
        },
        &["`x`"],
    ),
];

fn new() -> Update {
    // Every other change is good.
    Update::new().set("good", "secret")
}

#[tokio::test]
async fn bad_updates_are_named_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.put("a", json!({"n": {"N": "1"}})).await;
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    let before = scene.item("a").await;
    for (what, update, says) in BAD_UPDATES {
        let errors = [
            soon(lease.update(update())).await.expect_err(what),
            soon(lease.update_returning(update()))
                .await
                .expect_err(what),
        ];
        for error in errors {
            assert!(error.is_invalid_option(), "{what}: {error:?}");
            assert!(!error.is_lost() && !error.is_outcome_unknown(), "{what}");
            let text = error.to_string();
            assert!(text.starts_with("update: "), "{what}: {text}");
            for part in *says {
                assert!(text.contains(part), "{what}: {text:?} lacks {part:?}");
            }
            assert!(!text.contains("secret"), "{what}: {text}");
        }
        assert!(lease.is_held(), "{what}");
    }
    assert_eq!(scene.proxy.requests().len(), 1, "the acquisition");
    assert_eq!(scene.item("a").await, before);
    soon(lease.update(one_more())).await.expect("held");
    assert_eq!(record(&scene).await, json!({"n": {"N": "2"}}));
}

#[tokio::test]
async fn a_commit_of_a_bad_update_only_gives_the_lock_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.put("a", json!({"n": {"N": "1"}})).await;
    for (what, update, _) in BAD_UPDATES {
        let seen = scene.proxy.requests().len();
        let lease = soon(scene.lock(&client, "a").acquire()).await.expect(what);
        let error = soon(lease.commit(update())).await.expect_err(what);
        assert!(error.is_invalid_option(), "{what}: {error:?}");
        soon(client.drain()).await;
        scene.assert_free("a", what).await;
        let steps = [Step::Acquire, Step::Release];
        assert_eq!(scene.proxy.steps()[seen..], steps, "{what}");
    }
    assert_eq!(record(&scene).await, json!({"n": {"N": "1"}}));
}

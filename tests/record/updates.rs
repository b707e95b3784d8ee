//! Each kind of change lands as it says, beside a renewal and nothing else of the lock.

use dynolock::{AttributeNames, AttributeValue, Item, Number, Path, Set, Update};
use serde_json::{Value, json};

use super::{acquired, data, one_more, record};
use crate::scene::{LONG, Scene, expires, ms, nanos, soon};
use crate::support::recorded::Step;
use crate::support::wall_nanos;

struct Case {
    what: &'static str,
    before: Value,
    update: Update,
    after: Value,
}

fn case(what: &'static str, before: Value, update: Update, after: Value) -> Case {
    Case {
        what,
        before,
        update,
        after,
    }
}

fn texts(elements: &[&str]) -> Set<String> {
    let elements = elements.iter().map(|element| (*element).to_owned());
    Set::new(elements).expect("a set")
}

fn cases() -> Vec<Case> {
    let new = Update::new;
    let list = || json!({"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"N": "3"}]});
    let nested = || json!({"a": {"M": {"b": list()}}});
    let every_type = json!({
        "s": {"S": "ä"}, "n": {"N": "-1.5"}, "b": {"B": "AP8="}, "t": {"BOOL": true},
        "z": {"NULL": true}, "l": {"L": [{"S": "x"}]}, "m": {"M": {"k": {"N": "1"}}},
        "ss": {"SS": ["x", "y"]}, "ns": {"NS": ["1", "2"]}, "bs": {"BS": ["AA==", "AQ=="]},
    });
    let numbers = Set::new([Number::from(1), Number::from(2)]).expect("a set");
    let bytes = Set::new([vec![0], vec![1]]).expect("a set");
    let map = Item::from_iter([("k", 1)]);
    let minus = "-1.5".parse::<Number>().expect("a number");
    vec![
        case(
            "nothing",
            json!({"s": {"S": "x"}}),
            new(),
            json!({"s": {"S": "x"}}),
        ),
        case(
            "set, of every type",
            json!({"s": {"N": "1"}}),
            new()
                .set("s", "ä")
                .set("n", minus)
                .set("b", [0, 255].as_slice())
                .set("t", true)
                .set("z", AttributeValue::Null)
                .set("l", vec![AttributeValue::from("x")])
                .set("m", map)
                .set("ss", texts(&["y", "x"]))
                .set("ns", numbers)
                .set("bs", bytes),
            every_type,
        ),
        case(
            "set where it is absent",
            json!({"old": {"S": "x"}}),
            new().set_if_absent("old", "y").set_if_absent("new", "y"),
            json!({"old": {"S": "x"}, "new": {"S": "y"}}),
        ),
        case(
            "add numbers",
            json!({"up": {"N": "5"}, "down": {"N": "5"}}),
            new().add("up", 2).add("down", -7).add("new", 3),
            json!({"up": {"N": "7"}, "down": {"N": "-2"}, "new": {"N": "3"}}),
        ),
        case(
            "add to sets",
            json!({"old": {"SS": ["x"]}}),
            new()
                .add("old", texts(&["x", "y"]))
                .add("new", texts(&["z"])),
            json!({"old": {"SS": ["x", "y"]}, "new": {"SS": ["z"]}}),
        ),
        case(
            "remove",
            json!({"gone": {"S": "x"}, "stays": {"S": "x"}, "dotted.name": {"S": "x"}, "l": list()}),
            new()
                .remove("gone")
                .remove("never there")
                .remove(Path::attribute("dotted.name"))
                .remove("l[1]"),
            json!({"stays": {"S": "x"}, "l": {"L": [{"N": "0"}, {"N": "2"}, {"N": "3"}]}}),
        ),
        case(
            "append",
            json!({"old": {"L": [{"S": "x"}]}, "same": {"L": [{"S": "x"}]}}),
            new()
                .append("old", ["y", "z"])
                .append("new", [1])
                .append("same", Vec::<String>::new()),
            json!({
                "old": {"L": [{"S": "x"}, {"S": "y"}, {"S": "z"}]},
                "new": {"L": [{"N": "1"}]},
                "same": {"L": [{"S": "x"}]},
            }),
        ),
        case(
            "set inside",
            nested(),
            new().set("a.b[3]", "x").set("a.c", "y"),
            json!({"a": {"M": {
                "b": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"S": "x"}]}, "c": {"S": "y"}
            }}}),
        ),
        case(
            "add inside",
            nested(),
            new().add("a.b[3]", 4).add("a.n", 1),
            json!({"a": {"M": {
                "b": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"N": "7"}]}, "n": {"N": "1"}
            }}}),
        ),
        case(
            "delete from sets",
            json!({"some": {"SS": ["x", "y"]}, "all": {"SS": ["x"]}, "m": {"M": {"s": {"SS": ["x", "y"]}}}}),
            new()
                .delete_from_set("some", texts(&["x", "none"]))
                .delete_from_set("all", texts(&["x"]))
                .delete_from_set("m.s", texts(&["y"])),
            json!({"some": {"SS": ["y"]}, "m": {"M": {"s": {"SS": ["x"]}}}}),
        ),
        case(
            "set every attribute of an item, its key passed over",
            json!({"old": {"S": "x"}}),
            new().set_item(&Item::from_iter([
                ("id", "a"),
                ("dotted.name", "y"),
                ("size", "z"),
            ])),
            json!({"old": {"S": "x"}, "dotted.name": {"S": "y"}, "size": {"S": "z"}}),
        ),
        case(
            "raw clauses",
            json!({"n": {"N": "10"}, "gone": {"S": "x"}, "some": {"SS": ["x", "y"]}, "l": list()}),
            new()
                .raw_set("n = n - :fee, #last = if_not_exists(l[9], :none)")
                .raw_remove("gone, l[0]")
                .raw_add("count :fee")
                .raw_delete("some :set")
                .name("#last", "last.entry")
                .value(":fee", 3)
                .value(":none", "none")
                .value(":set", texts(&["x"])),
            json!({
                "n": {"N": "7"}, "last.entry": {"S": "none"}, "count": {"N": "3"},
                "some": {"SS": ["y"]}, "l": {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]},
            }),
        ),
        case(
            "conditions that hold, on key and lock too",
            json!({"n": {"N": "1"}}),
            new()
                .set("s", "x")
                .condition("n = :one OR n = :two")
                .condition(
                    "id = :id AND attribute_exists(dynoLockVersion) AND NOT contains(n, :id)",
                )
                .value(":one", 1)
                .value(":two", 2)
                .value(":id", "a"),
            json!({"n": {"N": "1"}, "s": {"S": "x"}}),
        ),
        case(
            "names and values like those of the lock's own",
            json!({"#0": {"S": "x"}, ":0": {"S": "x"}}),
            new()
                .set("#0", "y")
                .raw_set("#1 = :1")
                .raw_remove("#2")
                .condition("#0 = :0")
                .name("#0", "#0")
                .name("#1", "one")
                .name("#2", ":0")
                .value(":0", "x")
                .value(":1", 1),
            json!({"#0": {"S": "y"}, "one": {"N": "1"}}),
        ),
    ]
}

fn lock_attributes(item: &Value) -> Vec<&Value> {
    let names = ["Version", "Fence", "LeaseDuration", "Owner"];
    let names = names.iter().map(|name| format!("dynoLock{name}"));
    names.map(|name| &item[&name]).collect()
}

#[tokio::test]
async fn each_change_lands_as_it_says_and_leaves_the_lock_alone() {
    let scene = Scene::new().await;
    let client = scene.client();
    for case in cases() {
        let what = case.what;
        scene.put("a", case.before).await;
        let lock = scene.lock(&client, "a").owner("us");
        let lease = soon(lock.acquire()).await.expect("free");
        let locked = scene.item("a").await.expect("an item");
        let expired = lease.expires_at();
        let seen = scene.proxy.requests().len();

        soon(lease.update(case.update)).await.expect(what);
        let item = scene.item("a").await.expect("an item");
        assert_eq!(data(&item), data(&json!(case.after)), "{what}");
        assert_eq!(lock_attributes(&item), lock_attributes(&locked), "{what}");
        assert!(expires(&item) > expires(&locked), "{what}: renewed");
        assert!(lease.expires_at() > expired, "{what}: and known to be");
        assert_eq!(scene.proxy.steps()[seen..], [Step::Renew], "{what}");
        scene.assert_holds("a", &lease, what).await;
        soon(lease.release()).await.expect(what);
    }
}

#[tokio::test]
async fn each_change_lands_as_it_says_with_a_release_too() {
    let scene = Scene::new().await;
    let client = scene.client();
    for case in cases() {
        let what = case.what;
        scene.put("a", case.before).await;
        let lock = scene.lock(&client, "a").owner("us");
        let lease = soon(lock.acquire()).await.expect("free");
        let token = lease.fencing_token();
        soon(lease.commit(case.update)).await.expect(what);
        let item = scene.item("a").await.expect("an item");
        assert_eq!(data(&item), data(&json!(case.after)), "{what}");
        assert_eq!(item["dynoLockFence"]["N"], token.to_string(), "{what}");
        scene.assert_free("a", what).await;
    }
}

#[tokio::test]
async fn an_update_that_returns_brings_the_new_item_without_the_lock() {
    let scene = Scene::new().await;
    let client = scene.client();
    for case in cases() {
        let what = case.what;
        scene.put("a", case.before.clone()).await;
        let lease = soon(scene.lock(&client, "a").owner("us").acquire()).await;
        let lease = lease.expect("free");
        let seen = scene.proxy.requests().len();
        let item = soon(lease.update_returning(case.update)).await.expect(what);
        assert_eq!(item.get("id"), Some(&"a".into()), "{what}");
        let names = item.iter().map(|(name, _)| name);
        let lock: Vec<_> = names.filter(|name| name.starts_with("dynoLock")).collect();
        assert!(lock.is_empty(), "{what}: {lock:?}");
        let item = serde_json::to_value(&item).expect("JSON");
        assert_eq!(data(&item), data(&json!(case.after)), "{what}");
        let locked = serde_json::to_value(lease.item()).expect("JSON");
        assert_eq!(
            data(&locked),
            data(&case.before),
            "{what}: as it was locked"
        );
        assert_eq!(scene.proxy.steps()[seen..], [Step::Renew], "{what}");
        soon(lease.release()).await.expect(what);
    }
}

#[tokio::test]
async fn a_new_item_gets_its_record_under_the_lock() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    assert_eq!(lease.item().len(), 1, "nothing but its key");
    let item = soon(lease.update_returning(one_more()))
        .await
        .expect("held");
    assert_eq!(
        item,
        Item::from_iter([("id", AttributeValue::from("a")), ("n", 1.into())])
    );
    assert_eq!(record(&scene).await, json!({"n": {"N": "1"}}));
}

#[tokio::test]
async fn attributes_of_other_names_are_left_alone_and_not_shown() {
    let scene = Scene::with_keys(("tenant", "S"), Some(("seq", "N"))).await;
    let names = AttributeNames {
        expires: "lock.expires".into(),
        lease_duration: "size".into(),
        version: "#v".into(),
        fence: ":f".into(),
        owner: "Öwner".into(),
    };
    let lock = scene
        .client()
        .lock(&scene.table, (("tenant", "acme"), ("seq", 1)));
    let lock = lock
        .attribute_names(names)
        .owner("us")
        .lease(LONG)
        .timeout(LONG);
    let lease = soon(lock.manual_heartbeat().acquire()).await.expect("free");
    let token = lease.fencing_token();
    // The default names are the user's here, and so is what is inside a map.
    let update = Update::new()
        .set("dynoLockVersion", "mine")
        .set("m", Item::from_iter([("size", 1)]));
    let item = soon(lease.update_returning(update)).await.expect("held");
    assert_eq!(item.len(), 4, "{item:?}");
    soon(lease.update(Update::new().add("m.size", 1)))
        .await
        .expect("held");
    for own in ["lock.expires", "size", "#v", ":f", "Öwner"] {
        let update = Update::new().set(Path::attribute(own), 1);
        let error = soon(lease.update(update)).await.expect_err(own);
        assert!(error.is_invalid_option(), "{error:?}");
    }
    soon(lease.commit(one_more())).await.expect("held");
    let key = json!({"tenant": {"S": "acme"}, "seq": {"N": "1"}});
    let item = scene.engine.get_item(&scene.table, &key).await;
    let expected = json!({
        "tenant": {"S": "acme"}, "seq": {"N": "1"}, ":f": {"N": token.to_string()},
        "dynoLockVersion": {"S": "mine"}, "m": {"M": {"size": {"N": "2"}}}, "n": {"N": "1"},
    });
    assert_eq!(item, Some(expected));
}

#[tokio::test]
async fn updates_keep_a_lease_without_a_heartbeat_alive() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(1500));
    let lease = soon(lock.acquire()).await.expect("free");
    let first_end = nanos(lease.expires_at());
    let mut updates = 0;
    while wall_nanos() <= first_end {
        soon(lease.update(one_more())).await.expect("held");
        updates += 1;
    }
    soon(lease.update(one_more()))
        .await
        .expect("beyond its first end");
    scene
        .assert_holds("a", &lease, "renewed by updates alone")
        .await;
    assert_eq!(
        record(&scene).await,
        json!({"n": super::number(updates + 1)})
    );
    assert_eq!(
        scene.proxy.count(Step::Renew),
        updates + 1,
        "nothing else renews"
    );
}

/// They wait for one another, and for renewals.
#[tokio::test]
async fn updates_and_renewals_at_once_are_all_applied() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.lease(LONG).timeout(LONG).heartbeat(ms(1));
    let lease = soon(lock.acquire()).await.expect("free");
    let lease = std::sync::Arc::new(lease);
    let tasks: Vec<_> = (0..16)
        .map(|nth| {
            let lease = lease.clone();
            crate::scene::spawn(async move {
                match nth % 4 {
                    0 => lease.renew().await,
                    _ => lease.update(one_more()).await,
                }
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.expect("no panic").expect("held");
    }
    assert_eq!(record(&scene).await, json!({"n": {"N": "12"}}));
    let lease = std::sync::Arc::into_inner(lease).expect("nobody else has it");
    soon(lease.commit(one_more())).await.expect("held");
    assert_eq!(record(&scene).await, json!({"n": {"N": "13"}}));
    let requests = scene.proxy.requests();
    let refused = requests
        .iter()
        .filter_map(|r| r.answer.as_ref())
        .find(|a| a.status != 200);
    assert_eq!(refused, None, "one after the other");
    assert_eq!(requests.last().map(|r| r.step()), Some(Step::Release));
    scene.assert_free("a", "committed").await;
}

//! What is just inside the limits is served, beside the most that the lock needs for itself.

use dynolock::{Lease, Update};
use serde_json::json;

use super::{acquired, number, one_more, record};
use crate::scene::{Scene, dropped_after, soon};
use crate::support::fault::Fault;

/// Leaves as many renewals open as a write can name beside the one that stands.
async fn crowded(scene: &Scene, lease: &Lease) {
    for _ in 0..63 {
        let seen = scene.proxy.requests().len();
        scene.proxy.next([Fault::Hang]);
        dropped_after(lease.renew(), scene.proxy.wait_for(seen + 1)).await;
    }
}

/// The largest of these updates that is not refused before it is sent; all up to it are served.
async fn largest(lease: &Lease, from: usize, update: fn(usize) -> Update) -> usize {
    let mut size = from;
    loop {
        match soon(lease.update(update(size))).await {
            Ok(()) => size += 1,
            Err(error) if error.is_invalid_option() && size > from => return size - 1,
            Err(error) => panic!("{size}: {error:?}"),
        }
    }
}

async fn served_to_the_limit(from: usize, update: fn(usize) -> Update) {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let most = largest(&lease, from, update).await;
    crowded(&scene, &lease).await;
    let seen = scene.proxy.requests().len();
    soon(lease.update(update(most))).await.expect("a crowd");
    assert_eq!(scene.proxy.requests().len(), seen + 1, "at once");
    crowded(&scene, &lease).await;
    soon(lease.commit(update(most))).await.expect("a crowd");
    scene.assert_free("a", "committed").await;
}

#[tokio::test]
async fn as_many_changes_as_are_let_through_are_served() {
    served_to_the_limit(375, |count| {
        (0..count).fold(Update::new(), |update, n| {
            update.set(format!("a{n}"), n as u64)
        })
    })
    .await;
}

#[tokio::test]
async fn as_long_a_condition_as_is_let_through_is_served() {
    served_to_the_limit(560, |count| {
        let operands = vec![":no"; count];
        let lists = operands.chunks(100).map(|list| list.join(","));
        let update = lists.fold(one_more(), |update, list| {
            update.condition(format!("NOT n IN ({list})"))
        });
        update.value(":no", -1)
    })
    .await;
}

#[tokio::test]
async fn as_many_operators_as_are_let_through_are_served() {
    served_to_the_limit(135, |count| {
        let texts = vec!["n <> :no"; count].join(" AND ");
        one_more().condition(texts).value(":no", -1)
    })
    .await;
}

#[tokio::test]
async fn as_many_conditions_as_are_let_through_are_served() {
    served_to_the_limit(90, |count| {
        let update = (0..count).fold(one_more(), |update, _| update.condition("NOT n = :no"));
        update.value(":no", -1)
    })
    .await;
}

#[tokio::test]
async fn a_hundred_operands_and_large_values_are_served() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    crowded(&scene, &lease).await;
    let operands = vec![":no"; 100].join(",");
    let condition = format!("NOT n IN ({operands})");
    let large = "v".repeat(380 * 1024);
    let update = one_more().set("large", large.as_str()).condition(condition);
    soon(lease.update(update.value(":no", -1)))
        .await
        .expect("served");
    soon(lease.commit(one_more())).await.expect("held");
    assert_eq!(
        record(&scene).await,
        json!({"n": number(2), "large": {"S": large}})
    );
}

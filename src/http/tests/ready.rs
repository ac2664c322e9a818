//! `/readyz` for people, balancers and alerts.

use super::*;
use crate::database::Health;

fn database(name: &str, health: Health) -> Dependency {
    Dependency { name: name.into(), health }
}

#[tokio::test]
async fn a_server_is_ready_while_no_database_that_it_needs_is_down() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let reply = wire.ask("GET", "/readyz", "").await;
    assert_eq!((&*reply.status, reply.text()), ("HTTP/1.1 200 OK", "ready\n".into()));
    *server.databases.lock().unwrap() = vec![database("store", Health::Untried), database("cmdb", Health::Up)];
    let reply = wire.ask("GET", "/readyz", "").await;
    assert_eq!((&*reply.status, reply.text()), ("HTTP/1.1 200 OK", "ready\nstore: untried\ncmdb: up\n".into()));
}

#[tokio::test]
async fn the_page_says_what_is_down_since_when_and_why_and_liveness_is_another_thing() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let since = "2026-03-01T08:00:00.25Z".parse().unwrap();
    let error = "connection refused\nready".to_owned();
    *server.databases.lock().unwrap() =
        vec![database("cmdb", Health::Down { since, error }), database("store", Health::Up)];
    let reply = wire.ask("GET", "/readyz", "").await;
    assert_eq!(reply.status, "HTTP/1.1 503 Service Unavailable");
    let text = "not ready\ncmdb: down since 2026-03-01T08:00:00Z: connection refused ready\nstore: up\n";
    assert_eq!((reply.text(), reply.field("cache-control")), (text.into(), "no-store"));
    let reply = wire.ask("GET", "/readyz", "Accept: text/html, application/json;q=0.9\r\n").await;
    assert_eq!((&*reply.status, reply.field("content-type")), ("HTTP/1.1 503 Service Unavailable", "application/json"));
    let page: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let expected = serde_json::json!({ "ready": false, "databases": [
        { "name": "cmdb", "state": "down", "since": "2026-03-01T08:00:00.25Z", "error": "connection refused\nready" },
        { "name": "store", "state": "up" },
    ], "upstreams": []});
    assert_eq!(page, expected);
    assert_eq!(wire.ask("GET", "/healthz", "").await.text(), "ok\n");
}

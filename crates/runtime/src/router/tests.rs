//! Tests of the table of routes.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::route::{Answer, Answers, Asked, Class};

fn router(component: &'static str, routes: Vec<Route>) -> Router {
    let router = Router::new();
    router.install(component, routes).unwrap();
    router
}

fn found(router: &Router, method: Method, path: &str) -> String {
    match router.find(&method, path, |_| true) {
        Found::Nothing => "404".into(),
        Found::Methods(methods) => {
            let list: Vec<_> = methods.iter().map(Method::as_str).collect();
            format!("405 {}", list.join(","))
        }
        Found::Row { route, params, .. } => {
            let params: Vec<_> = params.iter().map(|(k, v)| format!(" {k}={v}")).collect();
            format!("{}{}", route.path, params.concat())
        }
    }
}

#[test]
fn a_path_means_the_most_exact_row() {
    let get = |path| Route::get(path, Class::Read, "");
    let router = router(
        "a",
        vec![
            get("/"),
            get("/apps/{app}"),
            get("/apps/all"),
            get("/apps/{app}/pods"),
            get("/files/{*path}"),
            get("/files/index"),
            Route::post("/apps/{app}", Class::Admin, ""),
        ],
    );
    for (method, path, expect) in [
        ("GET", "/", "/"),
        ("HEAD", "/", "/"),
        ("GET", "/apps/all", "/apps/all"),
        ("GET", "/apps/orders", "/apps/{app} app=orders"),
        ("HEAD", "/apps/orders", "/apps/{app} app=orders"),
        ("POST", "/apps/orders", "/apps/{app} app=orders"),
        ("POST", "/apps/all", "/apps/{app} app=all"),
        ("DELETE", "/apps/orders", "405 GET,POST"),
        ("PUT", "/", "405 GET"),
        ("GET", "/apps/a%2Fb%20c", "/apps/{app} app=a/b c"),
        ("GET", "/apps/a%zz%e", "/apps/{app} app=a%zz%e"),
        ("GET", "/apps/%ff", "/apps/{app} app=\u{fffd}"),
        ("GET", "/apps/orders/pods", "/apps/{app}/pods app=orders"),
        ("GET", "/apps/", "404"),
        ("GET", "/apps", "404"),
        ("GET", "/apps/orders/", "404"),
        ("GET", "//", "404"),
        ("GET", "", "404"),
        ("GET", "*", "404"),
        ("GET", "/files/index", "/files/index"),
        ("GET", "/files/a/b", "/files/{*path} path=a/b"),
        ("GET", "/files/", "/files/{*path} path="),
        ("GET", "/files", "404"),
        ("GET", "/files/../etc", "/files/{*path} path=../etc"),
    ] {
        assert_eq!(found(&router, method.parse().unwrap(), path), expect, "{method} {path}");
    }
}

#[test]
fn patterns_that_are_none_or_taken_are_refused() {
    let get = |path| Route::get(path, Class::Read, "");
    let router = router("a", vec![get("/x/{name}")]);
    for (route, words) in [
        (get("x"), "its route \"x\" does not begin with /"),
        (get("/{*all}/x"), "in its route /{*all}/x something follows {*…}, which takes all"),
        (get("/x/{other}"), "its route /x/{other} is one of a already"),
    ] {
        assert_eq!(router.install("b", vec![route]), Err(words.to_owned()));
    }
    router.install("b", vec![Route::post("/x/{other}", Class::Admin, "")]).unwrap();
    router.install("a", vec![get("/x/{name}")]).unwrap();
    router.remove("b");
    assert_eq!(found(&router, Method::POST, "/x/1"), "405 GET");
}

#[test]
fn a_row_without_a_handler_and_a_handler_without_a_row_are_refused() {
    let get = |path| Route::get(path, Class::Read, "");
    let router = router("a", vec![get("/x"), get("/y")]);
    let handler = || -> Arc<dyn Respond> { Arc::new(|_: Asked| Answer::text("hello")) };
    let outcome = router.serve("a", vec![("/x", handler())]);
    assert_eq!(outcome, Err("nobody answers its route /y".to_owned()));
    let outcome = router.serve("a", vec![("/x", handler()), ("/y", handler()), ("/z", handler())]);
    assert_eq!(outcome, Err("it answers /z, which is no row of its routes".to_owned()));
    let served = |router: &Router| match router.find(&Method::GET, "/x", |_| true) {
        Found::Row { respond, .. } => respond.map(|_| ()).map_err(|why| why.to_string()),
        _ => panic!("no row"),
    };
    assert_eq!(served(&router), Err("it is starting".to_owned()), "a change that failed changed nothing");
    router.serve("a", vec![("/x", handler()), ("/y", handler())]).unwrap();
    assert_eq!(served(&router), Ok(()));
    router.unserve("a", "it is tired");
    assert_eq!(served(&router), Err("it is tired".to_owned()));
}

#[test]
fn rows_that_are_not_for_this_listener_are_not_there() {
    let router = router("a", vec![Route::post("/hook", Class::Webhook, "")]);
    let hidden = router.find(&Method::POST, "/hook", |route| route.class != Class::Webhook);
    assert!(matches!(hidden, Found::Nothing));
}

proptest::proptest! {
    #[test]
    fn no_path_and_no_query_panics(path in ".{0,60}", plus in proptest::bool::ANY) {
        let router = router("a", vec![Route::get("/x/{one}/{*rest}", Class::Read, "")]);
        let _ = found(&router, Method::GET, &path);
        let _ = found(&router, Method::GET, &format!("/x/{path}"));
        let _ = decode(&path, plus);
        let _ = crate::route::query(&path).count();
    }
}

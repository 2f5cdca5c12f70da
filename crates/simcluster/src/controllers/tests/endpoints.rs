//! EndpointSlices and Endpoints: which addresses, under which conditions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn service(spec: &Value) -> Value {
    let mut all =
        json!({"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": "web", "labels": {"tier": "front"}}, "spec": all})
}

fn slices(world: &World) -> Vec<Value> {
    world.list(*ENDPOINT_SLICE).into_iter().filter(|s| name_of(s) != "kubernetes").collect()
}

fn endpoints(world: &World) -> Vec<Value> {
    slices(world).iter().flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default()).collect()
}

/// (ready, serving, terminating) of each endpoint.
fn conditions(world: &World) -> Vec<(bool, bool, bool)> {
    let is = |e: &Value, k: &str| e["conditions"][k] == true;
    endpoints(world).iter().map(|e| (is(e, "ready"), is(e, "serving"), is(e, "terminating"))).collect()
}

fn addresses(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

#[test]
fn ready_pods_are_endpoints_of_their_service() {
    let mut world = World::fast(2);
    world.create(*SERVICE, service(&json!({})));
    world.create(*REPLICA_SET, workload("web", 2, &json!({})));
    world.secs(1);
    let slice = slices(&world).remove(0);
    assert!(name_of(&slice).starts_with("web-"));
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({
            "tier": "front", "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        })
    );
    assert_eq!(slice["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(conditions(&world), [(true, true, false); 2]);
    let pod = world.list(*POD).remove(0);
    let endpoint =
        endpoints(&world).into_iter().find(|e| e["targetRef"]["name"] == pod["metadata"]["name"]).unwrap();
    assert_eq!(endpoint["addresses"], json!([pod["status"]["podIP"]]));
    assert_eq!(endpoint["nodeName"], pod["spec"]["nodeName"]);
    assert_eq!(endpoint["targetRef"]["uid"], pod["metadata"]["uid"]);
    let old = world.get(*ENDPOINTS, "web");
    assert_eq!(addresses(&old["subsets"][0]["addresses"]), 2);
    assert_eq!(old["subsets"][0]["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
}

#[test]
fn unready_pods_are_listed_as_such_and_published_where_asked() {
    for publish in [false, true] {
        let mut world = World::fast(2);
        world.create(*SERVICE, service(&json!({"publishNotReadyAddresses": publish})));
        let slow = template("web", &json!({"sim.kiban.dev/unready": "true"}));
        world.create(*REPLICA_SET, workload("web", 1, &json!({"template": slow})));
        world.secs(1);
        assert_eq!(conditions(&world), [(publish, false, false)]);
        let subset = &world.get(*ENDPOINTS, "web")["subsets"][0];
        assert_eq!(addresses(&subset["addresses"]), usize::from(publish));
        assert_eq!(addresses(&subset["notReadyAddresses"]), usize::from(!publish));
    }
}

#[test]
fn a_pod_on_its_way_out_serves_on_but_is_not_ready() {
    let mut world = World::realistic(2);
    world.create(*SERVICE, service(&json!({})));
    let slow = template("web", &json!({"sim.kiban.dev/stop-for": "20s"}));
    world.create(*REPLICA_SET, workload("web", 1, &json!({"template": slow})));
    world.secs(60);
    let name = world.names(*POD)[0].clone();
    world.change(*REPLICA_SET, "web", |s| s["spec"]["replicas"] = 0.into());
    world.secs(5);
    assert_eq!(conditions(&world), [(false, true, true)]);
    assert_eq!(world.get(*ENDPOINTS, "web")["subsets"].as_array().map_or(0, Vec::len), 0);
    world.secs(60);
    assert!(!world.exists(*POD, &name));
    assert!(endpoints(&world).is_empty());
    assert_eq!(slices(&world).len(), 1, "an empty slice stays");
}

#[test]
fn named_ports_are_looked_up_in_each_pod() {
    let mut world = World::fast(2);
    world.create(*SERVICE, service(&json!({"ports": [{"port": 80, "targetPort": "web"}]})));
    for (name, port) in [("a", 8080), ("b", 9090), ("c", 8080), ("none", 0)] {
        let mut pod = template("web", &json!({}));
        pod["metadata"]["name"] = name.into();
        if port > 0 {
            pod["spec"]["containers"][0]["ports"] = json!([{"name": "web", "containerPort": port}]);
        }
        world.create(*POD, pod);
    }
    world.secs(1);
    let mut all: Vec<_> = slices(&world)
        .iter()
        .map(|s| (s["ports"][0]["port"].as_i64().unwrap_or(0), addresses(&s["endpoints"])))
        .collect();
    all.sort_unstable();
    assert_eq!(all, [(0, 1), (8080, 2), (9090, 1)]);
}

#[test]
fn a_slice_holds_a_hundred() {
    let mut world = World::fast(3);
    world.create(*SERVICE, service(&json!({})));
    world.create(*REPLICA_SET, workload("web", 230, &json!({})));
    world.secs(2);
    let mut sizes: Vec<_> = slices(&world).iter().map(|s| addresses(&s["endpoints"])).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [30, 100, 100]);
    let unique: BTreeSet<_> = endpoints(&world).iter().map(|e| e["addresses"][0].to_string()).collect();
    assert_eq!(unique.len(), 230);
    world.change(*REPLICA_SET, "web", |s| s["spec"]["replicas"] = 50.into());
    world.secs(2);
    assert_eq!(endpoints(&world).len(), 50);
}

#[test]
fn headless_services_are_marked_and_name_their_pods() {
    let mut world = World::fast(2);
    world.create(*SERVICE, service(&json!({"clusterIP": "None"})));
    world.create(*STATEFUL_SET, workload("web", 2, &json!({"serviceName": "web"})));
    world.secs(1);
    let slice = slices(&world).remove(0);
    assert_eq!(slice["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    let names: Vec<_> = endpoints(&world).iter().map(|e| e["hostname"].clone()).collect();
    assert_eq!(names, ["web-0", "web-1"]);
    // A name under another subdomain is no name here.
    world.create(*SERVICE, json!({
        "metadata": {"name": "other"}, "spec": {"selector": {"app": "web"}, "clusterIP": "None", "ports": [{"port": 80}]},
    }));
    world.secs(1);
    let other = slices(&world).into_iter().find(|s| name_of(s).starts_with("other-")).unwrap();
    assert!(other["endpoints"][0]["hostname"].is_null());
}

#[test]
fn services_without_selector_are_their_owners_affair() {
    let mut world = World::fast(1);
    world.create(*SERVICE, json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}));
    world.create(
        *ENDPOINT_SLICE,
        json!({
            "metadata": {"name": "by-hand", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": [{"port": 80}],
        }),
    );
    world.create(*SERVICE, json!({"metadata": {"name": "alias"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}));
    world.secs(1);
    let revision = world.stored(*ENDPOINT_SLICE, "by-hand").revision;
    world.secs(10);
    assert_eq!(slices(&world).len(), 1);
    assert_eq!(world.stored(*ENDPOINT_SLICE, "by-hand").revision, revision);
    assert!(!world.exists(*ENDPOINTS, "alias") && !world.exists(*ENDPOINTS, "web"));
}

#[test]
fn a_service_takes_its_slices_along_and_slices_come_back() {
    let mut world = World::fast(1);
    world.create(*SERVICE, service(&json!({})));
    world.create(*REPLICA_SET, workload("web", 1, &json!({})));
    world.secs(1);
    let name = name_of(&slices(&world)[0]);
    world.delete(*ENDPOINT_SLICE, &name);
    world.secs(1);
    assert_eq!(endpoints(&world).len(), 1);
    assert!(world.get(*ENDPOINTS, "web")["metadata"]["ownerReferences"].is_null());
    world.delete(*ENDPOINTS, "web");
    world.secs(1);
    assert!(world.exists(*ENDPOINTS, "web"));
    world.delete(*SERVICE, "web");
    world.secs(1);
    assert!(slices(&world).is_empty());
    assert!(!world.exists(*ENDPOINTS, "web"));
}

#[test]
fn a_new_selector_or_port_is_followed_and_rest_is_rest() {
    let mut world = World::fast(1);
    world.create(*SERVICE, service(&json!({})));
    world.create(*REPLICA_SET, workload("web", 1, &json!({})));
    world.create(*REPLICA_SET, workload("api", 2, &json!({})));
    world.secs(1);
    world.change(*SERVICE, "web", |s| s["spec"]["selector"]["app"] = "api".into());
    world.secs(1);
    assert_eq!(endpoints(&world).len(), 2);
    world.change(*SERVICE, "web", |s| s["spec"]["ports"][0]["targetPort"] = 9090.into());
    world.secs(1);
    assert_eq!(slices(&world)[0]["ports"][0]["port"], 9090);
    let revision = world.stored(*ENDPOINT_SLICE, &name_of(&slices(&world)[0])).revision;
    world.change(*SERVICE, "web", |s| s["metadata"]["annotations"]["note"] = "x".into());
    world.secs(100);
    assert_eq!(world.stored(*ENDPOINT_SLICE, &name_of(&slices(&world)[0])).revision, revision);
}

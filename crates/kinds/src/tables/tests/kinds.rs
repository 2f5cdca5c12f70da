//! The cells of every kind but pods.

use serde_json::{Value, json};

use super::{ago, check, named};

const TEMPLATE: &str =
    r#"{"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}}"#;

fn template() -> Value {
    serde_json::from_str(TEMPLATE).unwrap()
}

#[test]
fn workloads_count_their_pods() {
    let object = named(
        "web",
        json!({
            "spec": {"replicas": 3, "template": template(), "selector": {"matchLabels": {"tier": "x", "app": "web"}}},
            "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        }),
    );
    let wide = json!({"Containers": "a,b", "Images": "i:1,j:2", "Selector": "app=web,tier=x", "Age": "60m"});
    check("apps", "Deployment", &object, json!({"Ready": "2/3", "Up-to-date": 1, "Available": 2}));
    check("apps", "Deployment", &object, wide.clone());
    check("apps", "ReplicaSet", &object, json!({"Desired": 3, "Current": 3, "Ready": 2}));
    check("apps", "ReplicaSet", &object, wide);
    check("apps", "StatefulSet", &object, json!({"Ready": "2/3", "Containers": "a,b", "Images": "i:1,j:2"}));
    let controller = named("rc", json!({"spec": {"selector": {"b": "2", "a": "1"}, "template": template()}}));
    check(
        "",
        "ReplicationController",
        &controller,
        json!({"Desired": 0, "Current": 0, "Ready": 0, "Selector": "a=1,b=2", "Images": "i:1,j:2"}),
    );
    let template = named(
        "t",
        json!({"template": {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c", "image": "d"}]}}}),
    );
    check("", "PodTemplate", &template, json!({"Containers": "c", "Images": "d", "Pod Labels": "a=1"}));
}

#[test]
fn selectors_are_printed_as_queries() {
    let cases = [
        (json!(null), "<none>", ""),
        (json!({}), "<none>", ""),
        (json!({"matchLabels": {"a": "1"}}), "a=1", "a=1"),
        (
            json!({"matchLabels": {"m": "1"}, "matchExpressions": [
                {"key": "z", "operator": "In", "values": ["y", "x"]},
                {"key": "b", "operator": "NotIn", "values": ["q"]},
                {"key": "n", "operator": "Exists"},
                {"key": "c", "operator": "DoesNotExist"},
            ]}),
            "b notin (q),!c,m=1,n,z in (x,y)",
            "b notin (q),!c,m=1,n,z in (x,y)",
        ),
        (json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "<error>", "<invalid>"),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
            "<error>",
            "<invalid>",
        ),
    ];
    for (selector, want, deployment) in cases {
        let object = named("x", json!({"spec": {"selector": selector, "podSelector": selector}}));
        check("apps", "ReplicaSet", &object, json!({"Selector": want}));
        check("apps", "DaemonSet", &object, json!({"Selector": want}));
        check("batch", "Job", &object, json!({"Selector": want}));
        check("networking.k8s.io", "NetworkPolicy", &object, json!({"Pod-Selector": want}));
        check("apps", "Deployment", &object, json!({"Selector": deployment}));
    }
}

#[test]
fn daemon_sets_count_nodes() {
    let object = named(
        "d",
        json!({
            "spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd", "arch": "arm64"}}}},
            "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3,
                       "updatedNumberScheduled": 2, "numberAvailable": 1},
        }),
    );
    let want = json!({"Desired": 5, "Current": 4, "Ready": 3, "Up-to-date": 2, "Available": 1,
                      "Node Selector": "arch=arm64,disk=ssd"});
    check("apps", "DaemonSet", &object, want);
    check("apps", "DaemonSet", &named("d", json!({})), json!({"Node Selector": "<none>", "Desired": 0}));
}

#[test]
fn revisions_name_their_controller() {
    let owned = |owners: Value| named("r", json!({"metadata": {"ownerReferences": owners}, "revision": 7}));
    let set = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": true},
    ]);
    check(
        "apps",
        "ControllerRevision",
        &owned(set),
        json!({"Controller": "statefulset.apps/db", "Revision": 7}),
    );
    let core = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "controller": true}]);
    check("apps", "ControllerRevision", &owned(core), json!({"Controller": "pod/p"}));
    check("apps", "ControllerRevision", &owned(json!([])), json!({"Controller": "<none>"}));
}

#[test]
fn jobs_say_how_far_they_are() {
    let done =
        |types: &[&str]| -> Value { types.iter().map(|t| json!({"type": t, "status": "True"})).collect() };
    let statuses = [
        (done(&["Complete", "SuccessCriteriaMet"]), "Complete"),
        (done(&["FailureTarget", "Failed"]), "Failed"),
        (done(&["Suspended"]), "Suspended"),
        (done(&["FailureTarget"]), "FailureTarget"),
        (done(&["SuccessCriteriaMet"]), "SuccessCriteriaMet"),
        (json!([{"type": "Complete", "status": "False"}]), "Running"),
        (json!([]), "Running"),
    ];
    for (conditions, want) in statuses {
        let object = named("j", json!({"status": {"conditions": conditions}}));
        check("batch", "Job", &object, json!({"Status": want}));
    }
    let deleted = |conditions: Value| {
        named("j", json!({"metadata": {"deletionTimestamp": ago(1)}, "status": {"conditions": conditions}}))
    };
    check("batch", "Job", &deleted(done(&["Suspended"])), json!({"Status": "Terminating"}));
    check("batch", "Job", &deleted(done(&["Complete"])), json!({"Status": "Complete"}));

    let completions = [
        (json!({"completions": 3}), "1/3"),
        (json!({"completions": 3, "parallelism": 2}), "1/3"),
        (json!({"parallelism": 4}), "1/1 of 4"),
        (json!({"parallelism": 1}), "1/1"),
        (json!({}), "1/1"),
    ];
    for (spec, want) in completions {
        let object = named("j", json!({"spec": spec, "status": {"succeeded": 1}}));
        check("batch", "Job", &object, json!({"Completions": want}));
    }

    let durations = [
        (json!({}), ""),
        (json!({"startTime": ago(90)}), "90s"),
        (json!({"startTime": ago(900), "completionTime": ago(600)}), "5m"),
    ];
    for (status, want) in durations {
        check("batch", "Job", &named("j", json!({"status": status})), json!({"Duration": want}));
    }
}

#[test]
fn cron_jobs_say_when_they_run() {
    let object = named(
        "c",
        json!({
            "spec": {"schedule": "15 3 * * *", "timeZone": "Asia/Tokyo", "suspend": true,
                     "jobTemplate": {"spec": {"template": template()}}},
            "status": {"active": [{}, {}], "lastScheduleTime": ago(7200)},
        }),
    );
    let want = json!({"Schedule": "15 3 * * *", "Timezone": "Asia/Tokyo", "Suspend": "True", "Active": 2,
                      "Last Schedule": "120m", "Containers": "a,b", "Selector": "<none>"});
    check("batch", "CronJob", &object, want);
    let fresh = named("c", json!({"spec": {"schedule": "@daily", "suspend": false}}));
    let want = json!({"Timezone": "<none>", "Suspend": "False", "Active": 0, "Last Schedule": "<none>"});
    check("batch", "CronJob", &fresh, want);
    check("batch", "CronJob", &named("c", json!({})), json!({"Suspend": "<unset>"}));
}

#[test]
fn disruption_budgets_have_one_bound() {
    let object = named("b", json!({"spec": {"minAvailable": 2}, "status": {"disruptionsAllowed": 1}}));
    let want = json!({"Min Available": "2", "Max Unavailable": "N/A", "Allowed Disruptions": 1});
    check("policy", "PodDisruptionBudget", &object, want);
    let object = named("b", json!({"spec": {"maxUnavailable": "25%"}}));
    let want = json!({"Min Available": "N/A", "Max Unavailable": "25%", "Allowed Disruptions": 0});
    check("policy", "PodDisruptionBudget", &object, want);
}

#[test]
fn autoscalers_show_current_and_target() {
    let resource = |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    let used =
        |current: Value| json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]);
    let percent = resource(json!({"type": "Utilization", "averageUtilization": 60}));
    let of =
        |type_: &str, key: &str, target: Value| json!({"type": type_, key: {"name": "m", "target": target}});
    let now = |type_: &str, key: &str, current: Value| json!([{"type": type_, key: {"current": current}}]);
    let cases = [
        (json!([]), json!([]), "<none>"),
        (json!([percent]), json!([]), "cpu: <unknown>/60%"),
        (json!([percent]), used(json!({"averageUtilization": 10, "averageValue": "5m"})), "cpu: 10%/60%"),
        (json!([percent]), used(json!({"averageValue": "5m"})), "cpu: <unknown>/60%"),
        (json!([resource(json!({}))]), json!([]), "cpu: <unknown>/<auto>"),
        (json!([resource(json!({"averageValue": "200Mi"}))]), json!([]), "cpu: <unknown>/200Mi"),
        (
            json!([resource(json!({"averageValue": "0.5"}))]),
            used(json!({"averageValue": "100m"})),
            "cpu: 100m/500m",
        ),
        (
            json!([of("ContainerResource", "containerResource", json!({"averageUtilization": 70}))]),
            now("ContainerResource", "containerResource", json!({"averageUtilization": 30})),
            "m: 30%/70%",
        ),
        (
            json!([of("ContainerResource", "containerResource", json!({"averageValue": "1"}))]),
            now("ContainerResource", "containerResource", json!({"averageValue": "2"})),
            "m: 2/1",
        ),
        (json!([of("Pods", "pods", json!({"averageValue": "10"}))]), json!([]), "<unknown>/10"),
        (
            json!([of("Pods", "pods", json!({"averageValue": "10"}))]),
            now("Pods", "pods", json!({"averageValue": "12500m"})),
            "12500m/10",
        ),
        (json!([of("External", "external", json!({"value": "5"}))]), json!([]), "<unknown>/5"),
        (
            json!([of("External", "external", json!({"value": "5"}))]),
            now("External", "external", json!({"value": "4"})),
            "4/5",
        ),
        (
            json!([of("External", "external", json!({"averageValue": "5"}))]),
            now("External", "external", json!({"averageValue": "4", "value": "8"})),
            "4/5 (avg)",
        ),
        (
            json!([of("External", "external", json!({"averageValue": "5"}))]),
            now("External", "external", json!({"value": "8"})),
            "<unknown>/5 (avg)",
        ),
        (
            json!([of("Object", "object", json!({"value": "5k"}))]),
            now("Object", "object", json!({"value": "4k"})),
            "4k/5k",
        ),
        (json!([of("Object", "object", json!({"averageValue": "5k"}))]), json!([]), "<unknown>/5k (avg)"),
        (json!([{"type": "Weather"}]), json!([]), "<unknown type>"),
        (json!([percent, percent]), json!([]), "cpu: <unknown>/60%, cpu: <unknown>/60%"),
        (
            json!([percent, percent, percent, percent]),
            json!([]),
            "cpu: <unknown>/60%, cpu: <unknown>/60% + 2 more...",
        ),
    ];
    for (metrics, current, want) in cases {
        let object = named("h", json!({"spec": {"metrics": metrics}, "status": {"currentMetrics": current}}));
        check("autoscaling", "HorizontalPodAutoscaler", &object, json!({"Targets": want}));
    }
}

#[test]
fn autoscalers_show_what_they_scale() {
    let object = named(
        "h",
        json!({
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 9},
            "status": {"currentReplicas": 4},
        }),
    );
    let want = json!({"Reference": "Deployment/web", "MinPods": "2", "MaxPods": 9, "Replicas": 4});
    check("autoscaling", "HorizontalPodAutoscaler", &object, want);
    check("autoscaling", "HorizontalPodAutoscaler", &named("h", json!({})), json!({"MinPods": "<unset>"}));
    let old =
        |status: Value| named("h", json!({"spec": {"targetCPUUtilizationPercentage": 80}, "status": status}));
    check(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &old(json!({})),
        json!({"Targets": "cpu: <unknown>/80%"}),
    );
    let used = old(json!({"currentCPUUtilizationPercentage": 33}));
    check("autoscaling", "HorizontalPodAutoscaler", &used, json!({"Targets": "cpu: 33%/80%"}));
    let scale = named("s", json!({"spec": {"replicas": 3}, "status": {"replicas": 2}}));
    check("autoscaling", "Scale", &scale, json!({"Desired": 3, "Available": 2, "Age": "60m"}));
}

#[test]
fn services_show_addresses_and_ports() {
    let service = |spec: Value, ingress: Value| {
        named("s", json!({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}}))
    };
    let points =
        json!([{"hostname": "lb.example.com"}, {"ip": "9.9.9.9", "hostname": "x"}, {"ip": "9.9.9.9"}, {}]);
    let external = [
        (json!({"type": "ClusterIP"}), json!([]), "<none>"),
        (json!({"type": "ClusterIP", "externalIPs": ["1.1.1.1", "2.2.2.2"]}), json!([]), "1.1.1.1,2.2.2.2"),
        (json!({"type": "NodePort"}), json!([]), "<none>"),
        (json!({"type": "NodePort", "externalIPs": ["1.1.1.1"]}), json!([]), "1.1.1.1"),
        (json!({"type": "LoadBalancer"}), json!([]), "<pending>"),
        (json!({"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]}), json!([]), "1.1.1.1"),
        (json!({"type": "LoadBalancer"}), points.clone(), "9.9.9.9,lb.example.com"),
        (
            json!({"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]}),
            points,
            "9.9.9.9,lb.example.com,1.1.1.1",
        ),
        (json!({"type": "ExternalName", "externalName": "db.example.com"}), json!([]), "db.example.com"),
        (json!({}), json!([]), "<unknown>"),
    ];
    for (spec, ingress, want) in external {
        check("", "Service", &service(spec, ingress), json!({"External-IP": want}));
    }
    let full = json!({
        "type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"],
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        "selector": {"app": "web"},
    });
    let want = json!({"Type": "NodePort", "Cluster-IP": "10.0.0.1", "Port(s)": "80:30080/TCP,53/UDP",
                      "Age": "60m", "Selector": "app=web"});
    check("", "Service", &service(full, json!([])), want);
    let want = json!({"Cluster-IP": "<none>", "Port(s)": "<none>", "Selector": "<none>"});
    check("", "Service", &service(json!({}), json!([])), want);
    check("", "Service", &service(json!({"clusterIP": "None"}), json!([])), json!({"Cluster-IP": "None"}));
}

#[test]
fn ingresses_show_class_hosts_and_addresses() {
    let rules = |hosts: &[&str]| -> Value { hosts.iter().map(|h| json!({"host": h})).collect() };
    let hosts = [
        (rules(&[]), "*"),
        (rules(&[""]), "*"),
        (rules(&["a"]), "a"),
        (rules(&["a", "", "b", "c"]), "a,b,c"),
        (rules(&["a", "b", "c", "d", "e"]), "a,b,c + 2 more..."),
        (rules(&["a", "b", "c", ""]), "a,b,c + 1 more..."),
    ];
    for (rules, want) in hosts {
        let object = named("i", json!({"spec": {"rules": rules}}));
        check("networking.k8s.io", "Ingress", &object, json!({"Hosts": want}));
    }
    let object = named(
        "i",
        json!({
            "spec": {"ingressClassName": "nginx", "tls": [{}]},
            "status": {"loadBalancer": {"ingress": [{"hostname": "a-very-long-name.example.com"}]}},
        }),
    );
    let want = json!({"Class": "nginx", "Address": "a-very-long-name.example.com", "Ports": "80, 443"});
    check("networking.k8s.io", "Ingress", &object, want);
    let want = json!({"Class": "<none>", "Address": "", "Ports": "80"});
    check("networking.k8s.io", "Ingress", &named("i", json!({})), want);
}

#[test]
fn ingress_classes_say_whether_they_are_the_default() {
    let object = named(
        "c",
        json!({
            "metadata": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
            "spec": {"controller": "example.com/c", "parameters": {"apiGroup": "x.io", "kind": "P", "name": "q"}},
        }),
    );
    let want = json!({"Name": "c (default)", "Controller": "example.com/c", "Parameters": "P.x.io/q"});
    check("networking.k8s.io", "IngressClass", &object, want);
    let core = named("c", json!({"spec": {"parameters": {"kind": "ConfigMap", "name": "q"}}}));
    check("networking.k8s.io", "IngressClass", &core, json!({"Name": "c", "Parameters": "ConfigMap/q"}));
    check("networking.k8s.io", "IngressClass", &named("c", json!({})), json!({"Parameters": "<none>"}));
}

#[test]
fn endpoints_show_the_first_three() {
    let ips = |list: &[&str]| -> Value { list.iter().map(|ip| json!({"ip": ip})).collect() };
    let cases = [
        (json!([]), "<none>"),
        (json!([{"addresses": ips(&["1.1.1.1"]), "ports": [{"port": 80}]}]), "1.1.1.1:80"),
        (json!([{"addresses": ips(&["fd00::1"]), "ports": [{"port": 80}]}]), "[fd00::1]:80"),
        (json!([{"addresses": ips(&["1.1.1.1", "2.2.2.2"])}]), "1.1.1.1,2.2.2.2"),
        (
            json!([{"addresses": ips(&["1.1.1.1", "2.2.2.2"]), "ports": [{"port": 80}, {"port": 90}]}]),
            "1.1.1.1:80,2.2.2.2:80,1.1.1.1:90 + 1 more...",
        ),
        (
            json!([{"addresses": ips(&["1.1.1.1", "2.2.2.2"])}, {"addresses": ips(&["3.3.3.3", "4.4.4.4", "5.5.5.5"])}]),
            "1.1.1.1,2.2.2.2,3.3.3.3 + 2 more...",
        ),
        (json!([{"notReadyAddresses": ips(&["1.1.1.1"]), "ports": [{"port": 80}]}]), ""),
    ];
    for (subsets, want) in cases {
        check("", "Endpoints", &named("e", json!({"subsets": subsets})), json!({"Endpoints": want}));
    }
    let slice = named(
        "e",
        json!({
            "addressType": "IPv4",
            "ports": [{"port": 80}, {"name": "dns"}, {}, {"port": 9}],
            "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["2.2.2.2", "3.3.3.3", "4.4.4.4"]}, {}],
        }),
    );
    let want = json!({"AddressType": "IPv4", "Ports": "80,dns,* + 1 more...",
                      "Endpoints": "1.1.1.1,2.2.2.2,3.3.3.3 + 1 more..."});
    check("discovery.k8s.io", "EndpointSlice", &slice, want);
    let want = json!({"Ports": "<unset>", "Endpoints": "<unset>"});
    check("discovery.k8s.io", "EndpointSlice", &named("e", json!({})), want);
}

#[test]
fn addresses_of_services_name_their_holder() {
    let cidr = named("kubernetes", json!({"spec": {"cidrs": ["10.0.0.0/24", "fd00::/108"]}}));
    check("networking.k8s.io", "ServiceCIDR", &cidr, json!({"CIDRs": "10.0.0.0/24,fd00::/108"}));
    let address = |parent: Value| named("10.0.0.1", json!({"spec": {"parentRef": parent}}));
    let cases = [
        (
            json!({"resource": "services", "namespace": "default", "name": "kubernetes"}),
            "services/default/kubernetes",
        ),
        (json!({"group": "x.io", "resource": "Gateways", "name": "g"}), "gateways.x.io/g"),
        (json!(null), "<none>"),
    ];
    for (parent, want) in cases {
        check("networking.k8s.io", "IPAddress", &address(parent), json!({"ParentRef": want}));
    }
}

#[test]
fn nodes_say_whether_they_take_pods() {
    let node = |ready: Value, unschedulable: bool| {
        named("n", json!({"spec": {"unschedulable": unschedulable}, "status": {"conditions": ready}}))
    };
    let ready = |status: &str| json!([{"type": "DiskPressure", "status": "True"}, {"type": "Ready", "status": status}]);
    let cases = [
        (node(ready("True"), false), "Ready"),
        (node(ready("True"), true), "Ready,SchedulingDisabled"),
        (node(ready("False"), false), "NotReady"),
        (node(ready("Unknown"), true), "NotReady,SchedulingDisabled"),
        // Of two conditions of one type the last counts.
        (node(json!([{"type": "Ready", "status": "True"}, {"type": "Ready"}]), false), "NotReady"),
        (node(json!([]), false), "Unknown"),
        (node(json!([]), true), "Unknown,SchedulingDisabled"),
    ];
    for (object, want) in cases {
        check("", "Node", &object, json!({"Status": want}));
    }
    let roles = [
        (json!({}), "<none>"),
        (
            json!({"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}),
            "control-plane,worker",
        ),
        (json!({"kubernetes.io/role": "infra", "node-role.kubernetes.io/": "x"}), "infra"),
        (json!({"kubernetes.io/role": "", "other": "y"}), "<none>"),
    ];
    for (labels, want) in roles {
        check("", "Node", &named("n", json!({"metadata": {"labels": labels}})), json!({"Roles": want}));
    }
}

#[test]
fn nodes_show_addresses_and_software() {
    let object = named(
        "n",
        json!({"status": {
            "addresses": [
                {"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.2"},
                {"type": "InternalIP", "address": "fd00::2"}, {"type": "ExternalIP", "address": "8.8.8.8"},
            ],
            "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Debian 12", "kernelVersion": "6.18",
                         "architecture": "arm64", "containerRuntimeVersion": "containerd://2.1"},
        }}),
    );
    let want = json!({"Version": "v1.37.0", "Internal-IP": "10.0.0.2", "External-IP": "8.8.8.8",
                      "OS-Image": "Debian 12", "Kernel-Version": "6.18 (arm64)",
                      "Container-Runtime": "containerd://2.1"});
    check("", "Node", &object, want);
    let want = json!({"Version": "", "Internal-IP": "<none>", "External-IP": "<none>", "OS-Image": "<unknown>",
                      "Kernel-Version": "<unknown>", "Container-Runtime": "<unknown>"});
    check("", "Node", &named("n", json!({})), want);
}

#[test]
fn configuration_counts_its_entries() {
    let object = named("c", json!({"type": "Opaque", "data": {"a": "", "b": ""}, "binaryData": {"c": ""}}));
    check("", "ConfigMap", &object, json!({"Name": "c", "Data": 3, "Age": "60m"}));
    check("", "Secret", &object, json!({"Type": "Opaque", "Data": 2}));
    check("", "ServiceAccount", &object, json!({"Name": "c", "Age": "60m"}));
    check("", "Namespace", &named("n", json!({"status": {"phase": "Active"}})), json!({"Status": "Active"}));
    check("", "ConfigMap", &json!({"metadata": {"name": "c"}}), json!({"Age": "<unknown>"}));
    let future = json!({"metadata": {"creationTimestamp": ago(-100)}});
    check("", "ConfigMap", &future, json!({"Age": "<invalid>"}));
}

#[test]
fn quotas_split_requests_from_limits() {
    let object = named(
        "q",
        json!({"status": {
            "hard": {"limits.cpu": "4", "pods": "10", "requests.cpu": "2000m", "limits.memory": "1Gi"},
            "used": {"pods": "3", "requests.cpu": "500m", "limits.cpu": "1"},
        }}),
    );
    let want = json!({"Request": "pods: 3/10, requests.cpu: 500m/2",
                      "Limit": "limits.cpu: 1/4, limits.memory: 0/1Gi"});
    check("", "ResourceQuota", &object, want);
    check("", "ResourceQuota", &named("q", json!({})), json!({"Request": "", "Limit": ""}));
}

#[test]
fn events_say_when_and_to_whom() {
    let object = named(
        "e",
        json!({
            "type": "Warning", "reason": "BackOff", "message": "  back-off 10s \n", "count": 6,
            "firstTimestamp": ago(600), "lastTimestamp": ago(60),
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
            "source": {"component": "kubelet", "host": "n1"},
        }),
    );
    let want = json!({"Last Seen": "60s", "Type": "Warning", "Reason": "BackOff", "Object": "pod/p",
                      "Subobject": "spec.containers{c}", "Source": "kubelet, n1", "Message": "back-off 10s",
                      "First Seen": "10m", "Count": 6, "Name": "e"});
    check("", "Event", &object, want);
    let new = json!({"type": "Normal", "eventTime": ago(30), "reportingComponent": "sched",
                     "reportingInstance": "sched-0", "involvedObject": {"kind": "Node"}});
    let want = json!({"Last Seen": "30s", "First Seen": "30s", "Count": 1, "Source": "sched, sched-0",
                      "Object": "node"});
    check("", "Event", &named("e", new), want);
    let series = json!({"eventTime": ago(3600), "series": {"count": 9, "lastObservedTime": ago(5)}});
    check("", "Event", &named("e", series), json!({"Last Seen": "5s", "First Seen": "60m", "Count": 9}));
    let want =
        json!({"Last Seen": "<unknown>", "First Seen": "<unknown>", "Count": 1, "Source": "", "Object": ""});
    check("", "Event", &named("e", json!({})), want);
    let grouped = named(
        "e",
        json!({
            "regarding": {"kind": "Pod", "name": "p"}, "note": "hello", "reportingController": "c",
            "deprecatedCount": 2, "deprecatedFirstTimestamp": ago(50), "deprecatedLastTimestamp": ago(40),
            "deprecatedSource": {"host": "h"},
        }),
    );
    let want = json!({"Last Seen": "40s", "First Seen": "50s", "Object": "pod/p", "Message": "hello", "Count": 2,
                      "Source": "c, h"});
    check("events.k8s.io", "Event", &grouped, want);
}

#[test]
fn small_kinds_show_their_fields() {
    let healthy = |status: &str| {
        named(
            "c",
            json!({"conditions": [{"type": "Healthy", "status": status, "message": "ok", "error": "e"}]}),
        )
    };
    check(
        "",
        "ComponentStatus",
        &healthy("True"),
        json!({"Status": "Healthy", "Message": "ok", "Error": "e"}),
    );
    check("", "ComponentStatus", &healthy("False"), json!({"Status": "Unhealthy"}));
    check(
        "",
        "ComponentStatus",
        &named("c", json!({})),
        json!({"Status": "Unknown", "Message": "", "Error": ""}),
    );
    let lease = named("l", json!({"spec": {"holderIdentity": "n1"}}));
    check("coordination.k8s.io", "Lease", &lease, json!({"Holder": "n1"}));
    check("coordination.k8s.io", "Lease", &named("l", json!({})), json!({"Holder": ""}));
    let spec = json!({"spec": {"leaseName": "l", "binaryVersion": "1.37.0", "emulationVersion": "1.36.0"}});
    let want = json!({"LeaseName": "l", "BinaryVersion": "1.37.0", "EmulationVersion": "1.36.0"});
    check("coordination.k8s.io", "LeaseCandidate", &named("c", spec), want);
    let class = named("p", json!({"value": -5, "globalDefault": true, "preemptionPolicy": "Never"}));
    let want = json!({"Value": -5, "Global-Default": true, "PreemptionPolicy": "Never"});
    check("scheduling.k8s.io", "PriorityClass", &class, want);
    check(
        "node.k8s.io",
        "RuntimeClass",
        &named("r", json!({"handler": "runsc"})),
        json!({"Handler": "runsc"}),
    );
}

#[test]
fn kinds_without_a_printer_show_when_they_were_made() {
    let object = named("r", json!({}));
    let want = json!({"Name": "r", "Created At": "2026-11-24T11:00:00Z"});
    for (group, kind) in [
        ("rbac.authorization.k8s.io", "Role"),
        ("", "LimitRange"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("storage.k8s.io", "CSIStorageCapacity"),
        ("example.com", "Widget"),
        // A kind of the same name in another group is another kind.
        ("example.com", "Pod"),
    ] {
        check(group, kind, &object, want.clone());
    }
    check("example.com", "Widget", &json!({}), json!({"Name": "", "Created At": "0001-01-01T00:00:00Z"}));
}

#[test]
fn volumes_and_claims_show_what_is_bound() {
    let volume = named(
        "v",
        json!({
            "spec": {
                "capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "fast",
                "accessModes": ["ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany", "ReadWriteOncePod", "ReadWriteMany"],
                "claimRef": {"namespace": "ns", "name": "c"}, "volumeMode": "Block",
                "volumeAttributesClassName": "gold",
            },
            "status": {"phase": "Bound", "reason": "why"},
        }),
    );
    let want = json!({"Capacity": "10Gi", "Access Modes": "RWO,ROX,RWX,RWOP", "Reclaim Policy": "Retain",
                      "Status": "Bound", "Claim": "ns/c", "StorageClass": "fast", "VolumeAttributesClass": "gold",
                      "Reason": "why", "Age": "60m", "VolumeMode": "Block"});
    check("", "PersistentVolume", &volume, want);
    let bare = named("v", json!({"metadata": {"deletionTimestamp": ago(1)}}));
    let want = json!({"Capacity": "0", "Status": "Terminating", "Claim": "", "VolumeAttributesClass": "<unset>",
                      "VolumeMode": "<unset>"});
    check("", "PersistentVolume", &bare, want);

    let claim = |volume: &str| {
        named(
            "c",
            json!({
                "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
                "spec": {"volumeName": volume, "storageClassName": "new", "volumeMode": "Filesystem"},
                "status": {"phase": "Pending", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}},
            }),
        )
    };
    let want = json!({"Status": "Pending", "Volume": "v", "Capacity": "5Gi", "Access Modes": "RWO",
                      "StorageClass": "old", "VolumeAttributesClass": "<unset>", "VolumeMode": "Filesystem"});
    check("", "PersistentVolumeClaim", &claim("v"), want);
    check("", "PersistentVolumeClaim", &claim(""), json!({"Capacity": "", "Access Modes": "", "Volume": ""}));
}

#[test]
fn storage_drivers_show_what_they_can_do() {
    let g = "storage.k8s.io";
    let want =
        json!({"ReclaimPolicy": "Delete", "VolumeBindingMode": "Immediate", "AllowVolumeExpansion": false});
    check(g, "StorageClass", &named("s", json!({})), want);
    let class = json!({"provisioner": "p", "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer",
                       "allowVolumeExpansion": true});
    let want = json!({"Provisioner": "p", "ReclaimPolicy": "Retain", "AllowVolumeExpansion": true,
                      "VolumeBindingMode": "WaitForFirstConsumer"});
    check(g, "StorageClass", &named("s", class), want);
    check(g, "VolumeAttributesClass", &named("a", json!({"driverName": "d"})), json!({"DriverName": "d"}));
    let attachment = json!({"spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
                            "status": {"attached": true}});
    let want = json!({"Attacher": "d", "PV": "v", "Node": "n", "Attached": true});
    check(g, "VolumeAttachment", &named("a", attachment), want);
    check(g, "VolumeAttachment", &named("a", json!({})), json!({"PV": "", "Attached": false}));
    check(g, "CSINode", &named("n", json!({"spec": {"drivers": [{}, {}]}})), json!({"Drivers": 2}));
    let want = json!({"AttachRequired": true, "PodInfoOnMount": false, "StorageCapacity": false,
                      "TokenRequests": "<unset>", "RequiresRepublish": false, "Modes": "<none>"});
    check(g, "CSIDriver", &named("d", json!({})), want);
    let driver = json!({"spec": {"attachRequired": false, "podInfoOnMount": true, "storageCapacity": true,
                                 "requiresRepublish": true, "volumeLifecycleModes": ["Persistent", "Ephemeral"],
                                 "tokenRequests": [{"audience": "a"}, {"audience": "b"}]}});
    let want = json!({"AttachRequired": false, "PodInfoOnMount": true, "StorageCapacity": true,
                      "TokenRequests": "a,b", "RequiresRepublish": true, "Modes": "Persistent,Ephemeral"});
    check(g, "CSIDriver", &named("d", driver), want);
}

#[test]
fn storage_versions_and_their_migrations() {
    let version = |id: &str| json!({"apiServerID": id, "encodingVersion": "v1"});
    let object = named(
        "s",
        json!({"status": {"commonEncodingVersion": "apps/v1",
        "storageVersions": [version("a"), version("b"), version("c"), version("d")]}}),
    );
    let want = json!({"CommonEncodingVersion": "apps/v1", "StorageVersions": "a=v1,b=v1,c=v1 + 1 more..."});
    check("internal.apiserver.k8s.io", "StorageVersion", &object, want);
    let want = json!({"CommonEncodingVersion": "<unset>", "StorageVersions": "<unset>"});
    check("internal.apiserver.k8s.io", "StorageVersion", &named("s", json!({})), want);

    let migration = |resource: Value, conditions: Value| {
        named("m", json!({"spec": {"resource": resource}, "status": {"conditions": conditions}}))
    };
    let running = json!([{"type": "Running", "status": "False"}, {"type": "Succeeded", "status": "True"}]);
    let object = migration(json!({"group": "apps", "resource": "deployments"}), running);
    let want = json!({"Resource": "deployments.apps", "Status": "Succeeded"});
    check("storagemigration.k8s.io", "StorageVersionMigration", &object, want);
    let object = migration(json!({"resource": "secrets"}), json!([]));
    check(
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        &object,
        json!({"Resource": "secrets", "Status": "Unknown"}),
    );
}

#[test]
fn bindings_list_their_subjects() {
    let object = named(
        "b",
        json!({
            "roleRef": {"kind": "ClusterRole", "name": "admin"},
            "subjects": [
                {"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "namespace": "ns", "name": "sa"},
                {"kind": "Group", "name": "dev"}, {"kind": "User", "name": "bob"}, {"kind": "Robot", "name": "r"},
            ],
        }),
    );
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        let want = json!({"Role": "ClusterRole/admin", "Users": "ann, bob", "Groups": "dev",
                          "ServiceAccounts": "ns/sa", "Age": "60m"});
        check("rbac.authorization.k8s.io", kind, &object, want);
    }
}

#[test]
fn admission_shows_rules_and_parameters() {
    let g = "admissionregistration.k8s.io";
    let hooks = named("w", json!({"webhooks": [{}, {}]}));
    check(g, "MutatingWebhookConfiguration", &hooks, json!({"Webhooks": 2}));
    check(g, "ValidatingWebhookConfiguration", &hooks, json!({"Webhooks": 2}));
    let spec = json!({"spec": {"validations": [{}, {}, {}], "mutations": [{}],
                               "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}});
    let policy = named("p", spec);
    check(g, "ValidatingAdmissionPolicy", &policy, json!({"Validations": 3, "ParamKind": "v1/ConfigMap"}));
    check(g, "MutatingAdmissionPolicy", &policy, json!({"Mutations": 1, "ParamKind": "v1/ConfigMap"}));
    check(
        g,
        "ValidatingAdmissionPolicy",
        &named("p", json!({})),
        json!({"Validations": 0, "ParamKind": "<unset>"}),
    );
    let selector = json!({"selector": {"matchLabels": {"b": "2", "a": "1"},
                                       "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]}});
    let references = [
        (json!(null), "<unset>"),
        (json!({"name": "c"}), "*/c"),
        (json!({"name": "c", "namespace": "ns"}), "ns/c"),
        (json!({"namespace": "ns"}), "<unset>"),
        (
            selector,
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{\
             LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        ),
    ];
    for (reference, want) in references {
        let object = named("b", json!({"spec": {"policyName": "p", "paramRef": reference}}));
        for kind in ["ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"] {
            check(g, kind, &object, json!({"PolicyName": "p", "ParamRef": want}));
        }
    }
}

#[test]
fn certificate_requests_say_what_was_decided() {
    let g = "certificates.k8s.io";
    let has = |types: &[&str]| -> Value { types.iter().map(|t| json!({"type": t})).collect() };
    let cases = [
        (has(&[]), "", "Pending"),
        (has(&["Approved"]), "", "Approved"),
        (has(&["Approved"]), "Q0VSVA==", "Approved,Issued"),
        (has(&["Approved", "Failed"]), "", "Approved,Failed"),
        (has(&["Approved", "Denied"]), "", "Denied"),
    ];
    for (conditions, certificate, want) in cases {
        let object = named("c", json!({"status": {"conditions": conditions, "certificate": certificate}}));
        check(g, "CertificateSigningRequest", &object, json!({"Condition": want}));
    }
    let object =
        named("c", json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 86_400}}));
    let want = json!({"Age": "60m", "SignerName": "s", "Requestor": "u", "RequestedDuration": "24h"});
    check(g, "CertificateSigningRequest", &object, want);
    let want = json!({"SignerName": "<none>", "Requestor": "", "RequestedDuration": "<none>"});
    check(g, "CertificateSigningRequest", &named("c", json!({})), want);
    check(g, "ClusterTrustBundle", &object, json!({"SignerName": "s"}));
    check(g, "ClusterTrustBundle", &named("c", json!({})), json!({"SignerName": "<none>"}));
    let request = named(
        "r",
        json!({
            "spec": {"podName": "p", "serviceAccountName": "sa", "nodeName": "n", "signerName": "s",
                     "unverifiedUserAnnotations": {"x.io/a": "1"}},
            "status": {"conditions": [{"type": "Other"}, {"type": "Issued", "status": "True"}]},
        }),
    );
    let want = json!({"PodName": "p", "ServiceAccountName": "sa", "NodeName": "n", "SignerName": "s",
                      "State": "Issued", "UnverifiedUserAnnotations": "x.io/a=1"});
    check(g, "PodCertificateRequest", &request, want);
    let want = json!({"State": "Pending", "UnverifiedUserAnnotations": "<none>"});
    check(g, "PodCertificateRequest", &named("r", json!({})), want);
}

#[test]
fn flow_control_shows_shares_and_queues() {
    let g = "flowcontrol.apiserver.k8s.io";
    let object = named(
        "f",
        json!({
            "spec": {"matchingPrecedence": 500, "priorityLevelConfiguration": {"name": "p"},
                     "distinguisherMethod": {"type": "ByUser"}},
            "status": {"conditions": [{"type": "Dangling", "status": "False"}]},
        }),
    );
    let want = json!({"PriorityLevel": "p", "MatchingPrecedence": 500, "DistinguisherMethod": "ByUser",
                      "MissingPL": "False"});
    check(g, "FlowSchema", &object, want);
    check(
        g,
        "FlowSchema",
        &named("f", json!({})),
        json!({"DistinguisherMethod": "<none>", "MissingPL": "?"}),
    );
    let level = |spec: Value| named("p", json!({"spec": spec}));
    let queuing = json!({"type": "Queue", "queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}});
    let object = level(
        json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 30, "limitResponse": queuing}}),
    );
    let want = json!({"Type": "Limited", "NominalConcurrencyShares": 30, "Queues": 64, "HandSize": 6,
                      "QueueLengthLimit": 50});
    check(g, "PriorityLevelConfiguration", &object, want);
    let reject =
        level(json!({"limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}));
    check(
        g,
        "PriorityLevelConfiguration",
        &reject,
        json!({"NominalConcurrencyShares": 5, "Queues": "<none>"}),
    );
    let want = json!({"NominalConcurrencyShares": "<none>", "HandSize": "<none>"});
    check(g, "PriorityLevelConfiguration", &level(json!({"type": "Exempt"})), want);
}

#[test]
fn api_services_say_who_serves_them() {
    let object = |service: Value, conditions: Value| {
        named("v1.x.io", json!({"spec": {"service": service}, "status": {"conditions": conditions}}))
    };
    let available =
        |status: &str, reason: &str| json!([{"type": "Available", "status": status, "reason": reason}]);
    let cases = [
        (object(json!(null), available("True", "Local")), "Local", "True"),
        (object(json!({"namespace": "ns", "name": "s"}), available("False", "Down")), "ns/s", "False (Down)"),
        (object(json!(null), available("False", "")), "Local", "False"),
        (object(json!(null), json!([])), "Local", "Unknown"),
    ];
    for (object, service, available) in cases {
        check(
            "apiregistration.k8s.io",
            "APIService",
            &object,
            json!({"Service": service, "Available": available}),
        );
    }
}

#[test]
fn device_claims_and_slices() {
    let g = "resource.k8s.io";
    let claim = |deleted: bool, status: Value| {
        let metadata = if deleted { json!({"deletionTimestamp": ago(1)}) } else { json!({}) };
        named("c", json!({"metadata": metadata, "status": status}))
    };
    let cases = [
        (claim(false, json!({})), "pending"),
        (claim(false, json!({"allocation": {}})), "allocated"),
        (claim(false, json!({"allocation": {}, "reservedFor": [{}]})), "allocated,reserved"),
        (claim(true, json!({})), "deleted"),
        (claim(true, json!({"allocation": {}, "reservedFor": [{}]})), "deleted,allocated,reserved"),
    ];
    for (object, want) in cases {
        check(g, "ResourceClaim", &object, json!({"State": want}));
    }
    for kind in ["DeviceClass", "ResourceClaimTemplate"] {
        check(g, kind, &named("d", json!({})), json!({"Name": "d", "Age": "60m"}));
    }
    let slice = named("s", json!({"spec": {"nodeName": "n", "driver": "gpu.x.io", "pool": {"name": "p"}}}));
    check(g, "ResourceSlice", &slice, json!({"Node": "n", "Driver": "gpu.x.io", "Pool": "p"}));
    check(g, "ResourceSlice", &named("s", json!({})), json!({"Node": ""}));
    let taint =
        json!({"spec": {"taint": {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": ago(60)}}});
    let want = json!({"Key": "k", "Value": "v", "Effect": "NoExecute", "TimeAdded": "60s"});
    check(g, "DeviceTaintRule", &named("t", taint), want);
    check(g, "DeviceTaintRule", &named("t", json!({})), json!({"TimeAdded": ""}));
}

#[test]
fn pool_status_requests_sum_their_pools() {
    let (g, kind) = ("resource.k8s.io", "ResourcePoolStatusRequest");
    let want = json!({"Total": "-", "Errors": "-", "Pools": 0, "Status": "Pending", "Completed": "<none>"});
    check(g, kind, &named("r", json!({})), want);
    let outcome = |type_: &str| json!([{"type": type_, "status": "True", "lastTransitionTime": ago(60)}]);
    let pools = json!([
        {"totalDevices": 4, "availableDevices": 1, "allocatedDevices": 2, "unavailableDevices": 1},
        {"totalDevices": 6}, {"validationError": "bad"},
    ]);
    let request = |type_: &str, count: i64| {
        let status = json!({"conditions": outcome(type_), "pools": pools, "poolCount": count});
        named("r", json!({"spec": {"driver": "d"}, "status": status}))
    };
    let want = json!({"Driver": "d", "Total": "10", "Available": "1", "Allocated": "2", "Unavailable": "1",
                      "Errors": "1", "Pools": 3, "Status": "Complete", "Completed": "60s"});
    check(g, kind, &request("Complete", 3), want);
    check(g, kind, &request("Complete", 9), json!({"Pools": 9, "Status": "Complete (3/9 pools)"}));
    check(
        g,
        kind,
        &request("Failed", 3),
        json!({"Total": "-", "Errors": "-", "Status": "Failed", "Completed": "<none>"}),
    );
}

#[test]
fn pod_groups_say_whether_they_are_scheduled() {
    let g = "scheduling.k8s.io";
    check(g, "Workload", &named("w", json!({})), json!({"Name": "w", "Age": "60m"}));
    let gang =
        named("p", json!({"spec": {"schedulingPolicy": {"gang": {}}, "workloadRef": {"workloadName": "w"}}}));
    let want = json!({"Policy": "Gang", "Workload": "w"});
    check(g, "PodGroup", &gang, want.clone());
    check(g, "CompositePodGroup", &gang, want);
    let basic = named("p", json!({"spec": {"schedulingPolicy": {"basic": {}}}}));
    check(g, "CompositePodGroup", &basic, json!({"Policy": "Basic", "Workload": "<none>"}));
    let scheduled = |status: &str| json!({"type": "PodGroupInitiallyScheduled", "status": status});
    let cases = [
        (json!([]), "Pending"),
        (json!([scheduled("True")]), "Scheduled"),
        (json!([scheduled("False")]), "Unschedulable"),
        (json!([{"type": "DisruptionTarget", "reason": "Preempted"}, scheduled("True")]), "Preempted"),
    ];
    for (conditions, want) in cases {
        check(
            g,
            "PodGroup",
            &named("p", json!({"status": {"conditions": conditions}})),
            json!({"Status": want}),
        );
    }
}

#[test]
fn evictions_say_who_is_at_work() {
    let g = "lifecycle.k8s.io";
    let request = json!({
        "spec": {"target": {"pod": {"name": "p"}}, "requester": "x.io/r", "intent": "Eviction"},
        "status": {"observedGeneration": 1},
    });
    let want = json!({"Target": "p", "Target Type": "Pod", "Status": "Progressing", "Requester": "x.io/r",
                      "Intent": "Eviction"});
    check(g, "EvictionRequest", &named("e", request), want);
    let want = json!({"Target": "<unset>", "Target Type": "<unset>", "Status": "Pending"});
    check(g, "EvictionRequest", &named("e", json!({})), want);
    let ended = |type_: &str| json!({"type": type_, "status": "True", "reason": "Why"});
    let cases = [
        (json!([ended("Failed")]), "Failed (Why)"),
        (json!([ended("Failed"), ended("TargetEvicted")]), "TargetEvicted (Why)"),
    ];
    for (conditions, want) in cases {
        check(
            g,
            "Eviction",
            &named("e", json!({"status": {"conditions": conditions}})),
            json!({"Status": want}),
        );
    }
}

#[test]
fn evictions_follow_their_responders() {
    let eviction = |turns: Value, responder: Value| {
        named("e", json!({"status": {"targetResponders": turns, "responders": [responder]}}))
    };
    let turn = |name: &str, state: &str| json!({"name": name, "state": state});
    let show = |object: Value, want: Value| check("lifecycle.k8s.io", "Eviction", &object, want);
    show(
        eviction(json!([turn("a", "Inactive"), turn("b", "Inactive")]), json!({"name": "a"})),
        json!({"Active Responder": "<unset> (0/2)", "Responder Status": "<unset>",
               "Responder Expected Finish": "<unknown>", "Responder Heartbeat": "<unset>"}),
    );
    let active = json!([turn("a", "Completed"), turn("b", "Active"), turn("c", "Inactive")]);
    let at_work = json!({"name": "b", "startTime": ago(60), "expectedCompletionTime": ago(-30),
                         "heartbeatTime": ago(5), "message": " moving \n"});
    show(
        eviction(active.clone(), at_work),
        json!({"Active Responder": "b (2/3)", "Responder Status": "Started (60s ago)",
               "Responder Expected Finish": "in 30s", "Responder Heartbeat": "5s ago",
               "Responder Status Message": "moving"}),
    );
    let late = json!({"name": "b", "startTime": ago(60), "expectedCompletionTime": ago(10)});
    show(eviction(active.clone(), late), json!({"Responder Expected Finish": "10s ago"}));
    let idle = json!({"name": "b"});
    show(
        eviction(active, idle),
        json!({"Responder Status": "Active", "Responder Expected Finish": "<unknown>"}),
    );
    let over = json!([turn("a", "Interrupted"), turn("b", "Completed")]);
    show(
        eviction(over.clone(), json!({"name": "b", "completionTime": ago(60)})),
        json!({"Active Responder": "b (2/2)", "Responder Status": "Completed (60s ago)",
               "Responder Expected Finish": "-"}),
    );
    show(eviction(over, json!({"name": "b"})), json!({"Responder Status": "Completed"}));
    let canceled = eviction(json!([turn("a", "Canceled")]), json!({"name": "a"}));
    show(canceled, json!({"Responder Status": "Canceled", "Responder Expected Finish": "-"}));

    let asked = |requesters: Value| named("e", json!({"status": {"requesters": requesters}}));
    show(asked(json!([])), json!({"Requesters": "<none>"}));
    show(asked(json!([{"name": "a", "intent": "Withdrawn"}])), json!({"Requesters": "<withdrawn>"}));
    let three = json!([{"name": "c"}, {"name": "b"}, {"name": "a", "intent": "Withdrawn"}]);
    show(asked(three), json!({"Requesters": "b + 1 more..."}));
}

"""Lists, watches and changes things with the official Python client; says "done" at the end."""

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()

assert client.VersionApi().get_code().minor == "37"
assert [n.metadata.name for n in core.list_node().items] == ["sim-node-1", "sim-node-2"]

labels = {"app": "web"}
container = client.V1Container(name="main", image="x:1")
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
)
spec = client.V1DeploymentSpec(replicas=3, selector=client.V1LabelSelector(match_labels=labels), template=template)
deployment = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)

start = core.list_namespaced_pod("default")
assert start.items == []
apps.create_namespaced_deployment("default", deployment)

# From the list's version on, until three pods are ready.
ready, watcher = set(), watch.Watch()
for event in watcher.stream(
    core.list_namespaced_pod, "default", resource_version=start.metadata.resource_version, timeout_seconds=60
):
    pod = event["object"]
    conditions = {c.type: c.status for c in pod.status.conditions or []}
    if conditions.get("Ready") == "True":
        ready.add(pod.metadata.name)
    if len(ready) == 3:
        watcher.stop()
assert len(ready) == 3, ready

before = core.list_namespaced_pod("default", label_selector="app=web").metadata.resource_version
apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 1}})
gone = 0
for event in watch.Watch().stream(
    core.list_namespaced_pod, "default", label_selector="app=web", resource_version=before, timeout_seconds=60
):
    gone += event["type"] == "DELETED"
    if gone == 2:
        break
assert gone == 2

# Pages.
for n in range(5):
    core.create_namespaced_config_map("default", {"metadata": {"name": f"m-{n}"}, "data": {"n": str(n)}})
names, token = [], None
while True:
    page = core.list_namespaced_config_map("default", limit=2, _continue=token)
    names += [m.metadata.name for m in page.items]
    token = page.metadata._continue
    if not token:
        break
assert names == ["kube-root-ca.crt", "m-0", "m-1", "m-2", "m-3", "m-4"], names

# Refusals have the code and reason of the API.
try:
    core.read_namespaced_pod("none", "default")
    raise AssertionError("it is there")
except ApiException as error:
    assert (error.status, error.reason) == (404, "Not Found"), error

# What is expired is said in a way that the client understands.
try:
    for _ in watch.Watch().stream(core.list_namespaced_config_map, "default", resource_version="1", timeout_seconds=1):
        pass
except ApiException as error:
    assert error.status == 410, error

# The dynamic client finds kinds by discovery and applies.
dynamic_client = dynamic.DynamicClient(client.ApiClient())
maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "b"}}
applied = dynamic_client.server_side_apply(maps, body=body, name="applied", namespace="default", field_manager="py")
assert applied.data.a == "b" and applied.metadata.managedFields[0].manager == "py"
core.delete_collection_namespaced_config_map("default")
assert [m.metadata.name for m in core.list_namespaced_config_map("default").items] in ([], ["kube-root-ca.crt"])

pod = core.list_namespaced_pod("default").items[0]
assert core.read_namespaced_pod_log(pod.metadata.name, "default", tail_lines=1).count("\n") == 1
print("done")

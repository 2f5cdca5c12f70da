#!/usr/bin/env python3
"""Record the protobuf bodies that a real kubectl sends, as golden files of the decoder's tests.

    python3 tools/schema/capture.py KUBECTL > crates/schema/tests/golden/kubectl.jsonl

Each command runs against a server on loopback that knows discovery (from the checked-in type
table) and answers every write with success. Where kubectl can say itself what it would send
(`--dry-run=client -o json`), that is the expected object; the rest is checked by eye once.
"""

import base64
import http.server
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "../../crates/schema/generated/kubernetes-1.37.txt")

COMMANDS = """
create deployment web --image=registry.example/web:1 --replicas=3 --port=8080
create job once --image=busybox -- sh -c 'exit 0'
create cronjob nightly --image=busybox '--schedule=15 3 * * *' -- date
create job manual --from=cronjob/nightly
create configmap settings --from-literal=a=1 --from-literal=b=two
create secret generic db --from-literal=password=hunter2
create secret docker-registry pull --docker-server=registry.example --docker-username=u --docker-password=p
create namespace shop
create quota small --hard=cpu=4,memory=8Gi,pods=10,requests.storage=0.5Ti
create poddisruptionbudget web --selector=app=web --min-available=50%
create poddisruptionbudget other --selector=app=web --max-unavailable=1
create serviceaccount builder
create role reader --verb=get,list,watch --resource=pods,deployments.apps
create rolebinding readers --role=reader --user=alice --group=dev --serviceaccount=default:builder
create clusterrole nodes --verb=get --resource=nodes
create clusterrole all --aggregation-rule=rbac.example/aggregate=true
create clusterrolebinding nodes --clusterrole=nodes --group=ops
create service clusterip web --tcp=80:8080 --tcp=443:8443
create service nodeport web --tcp=80:8080 --node-port=30080
create service externalname away --external-name=example.org
create service loadbalancer web --tcp=80
create ingress web '--rule=shop.example/*=web:80,tls=cert' '--rule=a.example/x=web:http' --class=nginx --annotation=a=b
create priorityclass high --value=1000 --description=important --preemption-policy=Never
create token builder --duration=1h --audience=api
autoscale deployment web --min=2 --max=10 --cpu=60%
auth can-i create pods
auth can-i get /metrics
auth can-i --list
auth whoami
"""

POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}
OBJECTS = {
    "/deployments/": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                      "spec": {"selector": {}, "template": {"spec": POD}}},
    "/cronjobs/": {"apiVersion": "batch/v1", "kind": "CronJob",
                   "metadata": {"name": "nightly", "uid": "11111111-2222-3333-4444-555555555555"},
                   "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": POD}}}}},
}


def resources():
    with open(TABLE) as table:
        for line in table:
            words = line.split()
            options = dict(w.split("=", 1) for w in words[7:]) if line.startswith("kind ") else {}
            if "verbs" in options:
                yield words, options


def discovery(core):
    groups = {}
    for (_, group, version, kind, _, plural, scope), options in ((w[:7], o) for w, o in resources()):
        if (group == "-") != core:
            continue
        name = "" if group == "-" else group
        response = {"group": name, "version": version, "kind": kind}
        groups.setdefault(name, {}).setdefault(version, []).append({
            "resource": plural, "responseKind": response, "verbs": options["verbs"].split(","),
            "scope": "Namespaced" if scope == "namespaced" else "Cluster",
            "singularResource": kind.lower(),
            "subresources": [{"subresource": s, "responseKind": response, "verbs": ["get"]}
                             for s in options.get("sub", "").split(",") if s]})
    items = [{"metadata": {"name": g} if g else {},
              "versions": [{"version": v, "resources": r} for v, r in versions.items()]}
             for g, versions in groups.items()]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies = []

    def log_message(self, *args):
        pass

    def reply(self, code, body, params=""):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json" + params)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path in ("/api", "/apis"):
            self.reply(200, discovery(path == "/api"),
                       ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            return
        for part, body in OBJECTS.items():
            if part in path:
                self.reply(200, body)
                return
        self.reply(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                         "reason": "NotFound", "code": 404})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.bodies.append((self.headers.get("Content-Type"), body))
        self.reply(201, {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201})


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cache = tempfile.mkdtemp()
    base = [sys.argv[1], "--server", "http://127.0.0.1:%d" % server.server_port, "--cache-dir", cache]
    for line in COMMANDS.strip().splitlines():
        Handler.bodies.clear()
        words = shlex.split(line)
        ran = subprocess.run(base + words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
        if len(Handler.bodies) != 1 or Handler.bodies[0][0] != "application/vnd.kubernetes.protobuf":
            sys.exit("%s: sent %r: %s" % (line, Handler.bodies, ran.stderr.decode()))
        case = {"command": line, "proto": base64.b64encode(Handler.bodies[0][1]).decode()}
        if words[0] in ("create", "autoscale") and words[1] != "token":
            at = words.index("--") if "--" in words else len(words)
            dry = base + words[:at] + ["--dry-run=client", "-o", "json"] + words[at:]
            done = subprocess.run(dry, stdout=subprocess.PIPE, check=True, timeout=60)
            case["out"] = json.loads(done.stdout)
        print(json.dumps(case, sort_keys=True))


if __name__ == "__main__":
    main()

//! Workloads: rollouts, scaling, autoscalers, exposure, jobs, claims, deletion and its cascades.

use super::{cells, cluster, holds};

#[test]
fn a_deployment_is_rolled_out_looked_back_at_and_undone() {
    let Some((sim, kubectl)) = cluster("workloads: rollout") else { return };
    let status = || kubectl.run("rollout status deploy/web --timeout=60s").ok();
    let image = || kubectl.run("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}").ok();
    assert_eq!(
        kubectl.run("create deployment web --image=x:1 --replicas=3").ok(),
        "deployment.apps/web created\n"
    );
    holds(&status(), &["deployment \"web\" successfully rolled out"]);
    assert_eq!(kubectl.run("set image deploy/web x=x:2").ok(), "deployment.apps/web image updated\n");
    kubectl.run("annotate deploy web kubernetes.io/change-cause=second").ok();
    status();
    sim.wait("the cause", || kubectl.run("rollout history deploy/web").ok().contains("second"));
    let history = kubectl.run("rollout history deploy/web").ok();
    assert_eq!(
        history,
        "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         <none>\n2         second\n\n"
    );
    let two = kubectl.run("rollout history deploy/web --revision=2").ok();
    holds(&two, &["deployment.apps/web with revision #2", "Image:\tx:2"]);
    assert_eq!(kubectl.run("rollout undo deploy/web").ok(), "deployment.apps/web rolled back\n");
    status();
    assert_eq!(image(), "x:1");
    kubectl.run("rollout undo deploy/web --to-revision=2").ok();
    status();
    assert_eq!(image(), "x:2");
    holds(&kubectl.run("rollout history deploy/web").ok(), &["\n3 ", "\n4 "]);
    let error = kubectl.run("rollout undo deploy/web --to-revision=77").fails(1);
    assert_eq!(error, "error: unable to find specified revision 77 in history\n");

    assert_eq!(kubectl.run("rollout restart deploy/web").ok(), "deployment.apps/web restarted\n");
    status();
    assert_eq!(kubectl.run("rollout pause deploy/web").ok(), "deployment.apps/web paused\n");
    assert_eq!(
        kubectl.run("rollout pause deploy/web").fails(1),
        "error: deployments.apps \"web\" is already paused\n"
    );
    kubectl.run("set image deploy/web x=x:3").ok();
    let error = kubectl.run("rollout status deploy/web --timeout=1s").fails(1);
    holds(&error, &["timed out waiting for the condition"]);
    kubectl.run("rollout resume deploy/web").ok();
    status();
    let pods = kubectl.run("get pods -l app=web -o jsonpath={.items[*].spec.containers[0].image}").ok();
    assert_eq!(pods, "x:3 x:3 x:3");
    let broken = kubectl.run("set image deploy/web y=x:4").fails(1);
    holds(&broken, &["unable to find container named \"y\""]);
}

#[test]
fn a_rollout_that_cannot_end_says_so() {
    let Some((_sim, kubectl)) = cluster("workloads: deadline") else { return };
    let file = concat!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: slow}\nspec:\n  progressDeadlineSeconds: 1\n",
        "  selector: {matchLabels: {app: slow}}\n  template:\n    metadata: {labels: {app: slow}, annotations: {sim.kiban.dev/image-missing: 'true'}}\n",
        "    spec: {containers: [{name: a, image: registry.example/none:1}]}\n",
    );
    kubectl.feed("apply -f -", file).ok();
    let said = kubectl.run("rollout status deploy/slow --timeout=60s").fails(1);
    holds(&said, &["error: deployment \"slow\" exceeded its progress deadline"]);
    let pods = kubectl.run("get pods").ok();
    assert!(pods.contains("ImagePullBackOff") || pods.contains("ErrImagePull"), "{pods}");
    holds(
        &kubectl.run("describe pod -l app=slow").ok(),
        &["Failed to pull image \"registry.example/none:1\""],
    );
    let error = kubectl.run("logs deploy/slow").fails(1);
    holds(&error, &["is waiting to start: "]);
}

#[test]
fn workloads_are_scaled_autoscaled_exposed_and_set() {
    let Some((sim, kubectl)) = cluster("workloads: scale") else { return };
    kubectl.run("create deployment web --image=x --replicas=2").ok();
    assert_eq!(kubectl.run("scale deploy/web --replicas=10").ok(), "deployment.apps/web scaled\n");
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    assert_eq!(cells(&kubectl.run("get deploy web").ok(), "web")[1], "10/10");
    let error = kubectl.run("scale deploy/web --replicas=3 --current-replicas=5").fails(1);
    holds(&error, &["Expected replicas to be 5, was 10"]);
    kubectl.run("scale deploy/web --replicas=3 --current-replicas=10").ok();
    assert_eq!(
        kubectl.run("autoscale deploy/web --min 1 --max 10 --cpu=50%").ok(),
        "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    );
    assert_eq!(
        cells(&kubectl.run("get hpa").ok(), "web")[1..6],
        ["Deployment/web", "cpu:", "<unknown>/50%", "1", "10"]
    );
    kubectl.run("describe hpa web").ok();

    assert_eq!(kubectl.run("expose deploy/web --port=80 --target-port=8080").ok(), "service/web exposed\n");
    let service = cells(&kubectl.run("get svc web").ok(), "web");
    assert_eq!((service[1].as_str(), service[4].as_str()), ("ClusterIP", "80/TCP"));
    sim.wait("endpoints", || kubectl.run("describe svc web").ok().contains(":8080,10."));
    kubectl.run("expose deploy/web --name=node --type=NodePort --port=80").ok();
    holds(&kubectl.run("get svc node").ok(), &["NodePort", "80:3"]);
    kubectl.run("create service externalname out --external-name=example.com").ok();
    assert_eq!(cells(&kubectl.run("get svc out").ok(), "out")[3], "example.com");

    assert_eq!(kubectl.run("set env deploy/web A=b").ok(), "deployment.apps/web env updated\n");
    assert_eq!(kubectl.run("set env deploy/web --list").ok(), "# Deployment web, container x\nA=b\n");
    kubectl.run("set env deploy/web A-").ok();
    let said = kubectl
        .run("set resources deploy/web --limits=cpu=200m,memory=128Mi --requests=cpu=100m,memory=64Mi")
        .ok();
    assert_eq!(said, "deployment.apps/web resource requirements updated\n");
    let error = kubectl.run("set resources deploy/web --requests=cpu=900m").fails(1);
    holds(
        &error,
        &[
            "spec.template.spec.containers[0].resources.requests: Invalid value: \"900m\": must be less than or equal to cpu limit of 200m",
        ],
    );
    kubectl.run("create serviceaccount robot").ok();
    assert_eq!(
        kubectl.run("set serviceaccount deploy/web robot").ok(),
        "deployment.apps/web serviceaccount updated\n"
    );
    kubectl.run("set selector svc/web app=other").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    sim.wait("the pods' class", || {
        let classes = kubectl.run("get pods -l app=web -o jsonpath={.items[*].status.qosClass}{.items[*].spec.serviceAccountName}").ok();
        classes == "Burstable Burstable Burstablerobot robot robot"
    });
}

#[test]
fn jobs_run_to_their_end_and_cronjobs_make_them() {
    let Some((sim, kubectl)) = cluster("workloads: jobs") else { return };
    kubectl.run("create cronjob tick --image=busybox --schedule='0 0 1 1 *' -- date").ok();
    assert_eq!(kubectl.run("create job now --from=cronjob/tick").ok(), "job.batch/now created\n");
    assert_eq!(
        kubectl.run("wait --for=condition=complete job/now --timeout=60s").ok(),
        "job.batch/now condition met\n"
    );
    let job = cells(&kubectl.run("get job now").ok(), "now");
    assert_eq!(job[1..3], ["Complete", "1/1"]);
    holds(
        &kubectl.run("describe job now").ok(),
        &["1 Succeeded / 0 Failed", "Controlled By:    CronJob/tick", "Job completed"],
    );
    holds(&kubectl.run("logs job/now").ok(), &["started"]);
    holds(&kubectl.run("get cj tick").ok(), &["0 0 1 1 *", "False"]);
    holds(&kubectl.run("describe cj tick").ok(), &["Concurrency Policy:            Allow"]);
    kubectl.run("patch cronjob tick -p '{\"spec\":{\"suspend\":true}}'").ok();
    assert_eq!(cells(&kubectl.run("get cj tick --no-headers").ok(), "tick")[7], "True");

    let failing = concat!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: bad}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n",
        "      restartPolicy: Never\n      containers: [{name: a, image: busybox, command: [sh, -c, exit 3]}]\n",
    );
    kubectl.feed("create -f -", failing).ok();
    kubectl.run("wait --for=condition=failed job/bad --timeout=60s").ok();
    holds(&kubectl.run("describe job bad").ok(), &["0 Succeeded / 1 Failed", "BackoffLimitExceeded"]);
    assert_eq!(kubectl.run("get pods -l job-name=bad -o jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}").ok(), "3");
    kubectl.run("delete job bad now").ok();
    sim.wait("their pods to go", || kubectl.run("get pods -o name").ok().is_empty());
}

#[test]
fn a_stateful_set_gets_its_claims_and_keeps_them() {
    let Some((sim, kubectl)) = cluster("workloads: claims") else { return };
    let file = concat!(
        "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}\n---\n",
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  serviceName: db\n  replicas: 3\n",
        "  selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n",
        "    spec: {containers: [{name: db, image: db:1, volumeMounts: [{name: data, mountPath: /data}]}]}\n",
        "  volumeClaimTemplates:\n  - metadata: {name: data}\n    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
    );
    kubectl.feed("apply -f -", file).ok();
    holds(
        &kubectl.run("rollout status sts/db --timeout=60s").ok(),
        &["partitioned roll out complete: 3 new pods have been updated..."],
    );
    assert_eq!(cells(&kubectl.run("get sts").ok(), "db")[1], "3/3");
    let claims = kubectl.run("get pvc").ok();
    for n in 0..3 {
        let claim = cells(&claims, &format!("data-db-{n}"));
        assert_eq!((claim[1].as_str(), claim[3].as_str(), claim[4].as_str()), ("Bound", "1Gi", "RWO"));
    }
    assert_eq!(kubectl.run("get pv -o name").ok().lines().count(), 3);
    kubectl.run("describe pvc data-db-0").ok();
    kubectl.run("describe pv").ok();
    kubectl.run("describe sts db").ok();
    kubectl.run("scale sts db --replicas=1").ok();
    sim.wait("the last ones to go", || kubectl.run("get pods -o name").ok() == "pod/db-0\n");
    assert_eq!(kubectl.run("get pvc -o name").ok().lines().count(), 3);
    kubectl.run("set image sts/db db=db:2").ok();
    kubectl.run("rollout status sts/db --timeout=60s").ok();
    holds(&kubectl.run("rollout history sts/db").ok(), &["REVISION", "1", "2"]);
    kubectl.run("rollout undo sts/db").ok();
    kubectl.run("rollout status sts/db --timeout=60s").ok();
    sim.wait("the old image", || {
        kubectl.run("get pod db-0 -o jsonpath={.spec.containers[0].image}").out == "db:1"
    });
    // A claim in use stays until its pod is gone.
    kubectl.run("delete pvc data-db-0 --wait=false").ok();
    assert_eq!(cells(&kubectl.run("get pvc").ok(), "data-db-0")[1], "Terminating");
    kubectl.run("delete sts db").ok();
    kubectl.run("wait --for=delete pvc/data-db-0 --timeout=60s").ok();
}

#[test]
fn daemon_sets_run_on_every_node_and_roll() {
    let Some((_sim, kubectl)) = cluster("workloads: daemons") else { return };
    let file = concat!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec:\n  selector: {matchLabels: {app: agent}}\n",
        "  template:\n    metadata: {labels: {app: agent}}\n    spec: {containers: [{name: a, image: agent:1}]}\n",
    );
    kubectl.feed("apply -f -", file).ok();
    kubectl.run("rollout status ds/agent --timeout=60s").ok();
    assert_eq!(cells(&kubectl.run("get ds").ok(), "agent")[1..6], ["3", "3", "3", "3", "3"]);
    kubectl.run("set image ds/agent a=agent:2").ok();
    kubectl.run("rollout status ds/agent --timeout=60s").ok();
    holds(&kubectl.run("rollout history ds/agent").ok(), &["1         <none>", "2         <none>"]);
    kubectl.run("rollout undo ds/agent --to-revision=1").ok();
    kubectl.run("rollout status ds/agent --timeout=60s").ok();
    assert_eq!(
        kubectl.run("get pods -o jsonpath={.items[*].spec.containers[0].image}").ok(),
        "agent:1 agent:1 agent:1"
    );
    kubectl.run("rollout restart ds/agent").ok();
    kubectl.run("rollout status ds/agent --timeout=60s").ok();
    kubectl.run("describe ds agent").ok();
}

#[test]
fn deletion_cascades_as_it_is_told() {
    let Some((sim, kubectl)) = cluster("workloads: delete") else { return };
    kubectl.run("create deployment web --image=x --replicas=2").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    let said = kubectl.run("delete deploy web --cascade=orphan").ok();
    assert_eq!(said, "deployment.apps \"web\" deleted from default namespace\n");
    assert_eq!(cells(&kubectl.run("get rs --no-headers").ok(), &rs(&kubectl))[1..4], ["2", "2", "2"]);
    assert_eq!(kubectl.run("get rs -o jsonpath={.items[0].metadata.ownerReferences}").ok(), "");
    // A Deployment that selects them takes them in again.
    kubectl.run("create deployment web --image=x --replicas=2").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    assert_eq!(kubectl.run("get rs -o name").ok().lines().count(), 1);
    kubectl.run("delete deploy web --cascade=foreground").ok();
    assert_eq!(kubectl.run("get rs,pods -o name").ok(), "");

    kubectl.run("create deployment web --image=x --replicas=2").ok();
    kubectl.run("delete deploy web").ok();
    sim.wait("the pods to go", || kubectl.run("get rs,pods -o name").ok().is_empty());

    kubectl.run("delete all --all").ok();
    sim.wait("the API's own service", || {
        kubectl.run("get svc,endpointslices -o name").ok().lines().count() == 2
    });

    kubectl.run("create namespace gone").ok();
    kubectl.run("create deployment web --image=x --replicas=2 -n gone").ok();
    kubectl.run("create cm c -n gone").ok();
    assert_eq!(kubectl.run("delete ns gone --timeout=60s").ok(), "namespace \"gone\" deleted\n");
    assert_eq!(kubectl.run("get all,cm -n gone -o name").ok(), "");
    let error = kubectl.run("delete ns default").fails(1);
    holds(&error, &["(Forbidden)", "namespaces \"default\" is forbidden: this namespace may not be deleted"]);
    let error = kubectl.run("create cm c -n gone").fails(1);
    holds(&error, &["namespaces \"gone\" not found"]);

    finalizers(&sim, &kubectl);
}

fn rs(kubectl: &kiban_testkit::Kubectl) -> String {
    kubectl.run("get rs -o jsonpath={.items[0].metadata.name}").ok()
}

/// What has a finalizer stays, marked, until it is taken away.
fn finalizers(sim: &Sim, kubectl: &Kubectl) {
    kubectl.run("create namespace held").ok();
    kubectl.feed("create -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: held, finalizers: [example.com/hold]}\n").ok();
    let error = kubectl.run("delete cm c -n held --timeout=1s").fails(1);
    holds(&error, &["timed out waiting for the condition"]);
    kubectl.run("delete ns held --wait=false").ok();
    assert_eq!(cells(&kubectl.run("get ns held").ok(), "held")[1], "Terminating");
    sim.wait("the reason", || kubectl.run("get ns held -o yaml").ok().contains("SomeFinalizersRemain"));
    let error = kubectl.run("create cm d -n held").fails(1);
    holds(
        &error,
        &[
            "configmaps \"d\" is forbidden: unable to create new content in namespace held because it is being terminated",
        ],
    );
    kubectl
        .args(&[
            "patch",
            "cm",
            "c",
            "-n",
            "held",
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ])
        .ok();
    kubectl.run("wait --for=delete ns/held --timeout=60s").ok();
}

#[test]
fn quotas_and_ranges_are_kept_and_shown() {
    let Some((_sim, kubectl)) = cluster("workloads: quotas") else { return };
    kubectl.run("create quota q --hard=pods=10,requests.cpu=4").ok();
    holds(&kubectl.run("get quota q -o yaml").ok(), &["pods: \"10\"", "requests.cpu: \"4\""]);
    kubectl.run("describe quota q").ok();
    let range = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: [{type: Container, default: {cpu: 100m}}]}\n";
    kubectl.feed("create -f -", range).ok();
    holds(&kubectl.run("describe limits l").ok(), &["Container", "cpu", "100m"]);
    kubectl.run("create priorityclass high --value=1000").ok();
    assert_eq!(cells(&kubectl.run("get pc high").ok(), "high")[1], "1000");
    kubectl.run("create ingress i --rule=example.com/*=web:80 --class=nginx").ok();
    holds(&kubectl.run("describe ingress i").ok(), &["example.com", "web:80"]);
    kubectl.run("create role r --verb=get,list --resource=pods").ok();
    kubectl.run("create rolebinding r --role=r --serviceaccount=default:default").ok();
    kubectl.run("create clusterrole r --verb=get --resource=nodes").ok();
    kubectl.run("create clusterrolebinding r --clusterrole=r --user=bob").ok();
    holds(
        &kubectl.run("describe role,rolebinding,clusterrole,clusterrolebinding r").ok(),
        &["pods", "ServiceAccount", "bob"],
    );
    kubectl.run("create secret generic s --from-literal=a=b").ok();
    kubectl
        .run("create secret docker-registry d --docker-server=x --docker-username=u --docker-password=p")
        .ok();
    holds(&kubectl.run("get secret s d").ok(), &["Opaque", "kubernetes.io/dockerconfigjson"]);
    holds(&kubectl.run("describe secret s").ok(), &["a:  1 bytes"]);
    kubectl.run("create poddisruptionbudget p --selector=app=web --min-available=50%").ok();
    assert_eq!(cells(&kubectl.run("get pdb p").ok(), "p")[1..3], ["50%", "N/A"]);
}

use kiban_testkit::{Kubectl, Sim};

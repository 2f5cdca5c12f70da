//! Roles in force, and the tokens of service accounts, as kubectl uses them.

use kiban_simcluster::server::Config;
use kiban_testkit::{Kubectl, Sim};

fn guarded() -> Sim {
    Sim::with(Config { nodes: 1, fast: true, rbac: true, ..Config::default() })
}

/// A service account `bot` in `team` that may view, with its token.
fn bot(sim: &Sim, kubectl: &Kubectl) -> String {
    kubectl.run("create namespace team").ok();
    kubectl.run("create serviceaccount bot -n team").ok();
    kubectl.run("create rolebinding viewers --clusterrole=view --serviceaccount=team:bot -n team").ok();
    sim.wait("the role view has gathered its rules", || {
        kubectl.run("get clusterrole view -o jsonpath={.rules}").ok().contains("pods/log")
    });
    kubectl.run("create token bot -n team").ok().trim().to_owned()
}

#[test]
fn a_service_account_may_do_what_its_roles_say() {
    let sim = guarded();
    let Some(kubectl) = sim.kubectl("rbac") else { return };
    let token = bot(&sim, &kubectl);
    let by = |line: &str| kubectl.run(&format!("{line} --token={token}"));
    by("get pods -n team").ok();
    for (line, words) in [
        (
            "get pods -n default",
            "pods is forbidden: User \"system:serviceaccount:team:bot\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "get nodes",
            "nodes is forbidden: User \"system:serviceaccount:team:bot\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        ),
        (
            "delete deployment web -n team",
            "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:team:bot\" cannot delete resource \"deployments\" in API group \"apps\" in the namespace \"team\"",
        ),
        (
            "get --raw /metrics",
            "forbidden: User \"system:serviceaccount:team:bot\" cannot get path \"/metrics\"",
        ),
        (
            "get pods -n team --as=admin",
            "users \"admin\" is forbidden: User \"system:serviceaccount:team:bot\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
        ),
    ] {
        let refused = by(line).fails(1);
        assert!(refused.contains(words), "{line}: {refused}");
    }
    assert_eq!(by("auth can-i list pods -n team").ok().trim(), "yes");
    assert_eq!(by("auth can-i create pods -n team").out.trim(), "no");
    assert!(by("auth whoami").ok().contains("system:serviceaccount:team:bot"));
    let list = by("auth can-i --list -n team").ok();
    assert!(list.contains("pods/log") && list.contains("selfsubjectaccessreviews"), "{list}");
    assert_eq!(
        kubectl.run("auth can-i list pods -n team --as=system:serviceaccount:team:bot").ok().trim(),
        "yes"
    );
    assert_eq!(kubectl.run("auth can-i delete nodes").ok().lines().last(), Some("yes"));
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let sim = guarded();
    let Some(kubectl) = sim.kubectl("rbac") else { return };
    let token = bot(&sim, &kubectl);
    let by = |line: &str| kubectl.run(&format!("{line} --token={token}"));
    kubectl
        .run("create role writer --verb=get,create,update,patch --resource=roles,rolebindings -n team")
        .ok();
    kubectl.run("create rolebinding writer --role=writer --serviceaccount=team:bot -n team").ok();
    by("create role fine --verb=get --resource=pods -n team").ok();
    let refused = by("create role more --verb=get,delete --resource=pods -n team").fails(1);
    let words = "is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}";
    assert!(refused.contains(words), "{refused}");
    let refused = by("create rolebinding more --clusterrole=edit --serviceaccount=team:bot -n team").fails(1);
    assert!(refused.contains("is attempting to grant RBAC permissions not currently held"), "{refused}");
    by("create rolebinding same --clusterrole=view --user=jane -n team").ok();
    kubectl.run("create role binder --verb=bind --resource=clusterroles --resource-name=edit -n team").ok();
    kubectl.run("create rolebinding binder --role=binder --serviceaccount=team:bot -n team").ok();
    by("create rolebinding more --clusterrole=edit --serviceaccount=team:bot -n team").ok();
    let file = sim.file(
        "roles.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: { name: r, namespace: team }\nrules: [{ apiGroups: [\"\"], resources: [pods], verbs: [get] }]\n",
    );
    assert!(kubectl.run(&format!("auth reconcile -f {file}")).ok().contains("reconciled"));
}

#[test]
fn tokens_end_with_what_they_are_bound_to() {
    let sim = Sim::start(1);
    let Some(kubectl) = sim.kubectl("rbac") else { return };
    kubectl.run("create serviceaccount bot").ok();
    kubectl.run("create secret generic key").ok();
    let bound = kubectl.run("create token bot --bound-object-kind=Secret --bound-object-name=key").ok();
    let free = kubectl
        .run("create token bot --duration=1h --audience=https://kubernetes.default.svc.cluster.local")
        .ok();
    let other = kubectl.run("create token bot --audience=vault").ok();
    let whoami = |token: &str| kubectl.run(&format!("auth whoami --token={}", token.trim()));
    for good in [&bound, &free] {
        assert!(whoami(good).ok().contains("system:serviceaccount:default:bot"));
    }
    assert!(whoami(&other).fails(1).contains("Unauthorized"));
    assert!(whoami("nonsense").fails(1).contains("Unauthorized"));
    let review = |token: &str, audience: &str| {
        let text = format!(
            "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {{ token: {}, audiences: [{audience}] }}\n",
            token.trim()
        );
        kubectl.feed("create -f - -o jsonpath={.status.authenticated},{.status.user.username}", &text).ok()
    };
    assert_eq!(review(&other, "vault"), "true,system:serviceaccount:default:bot");
    assert_eq!(review(&other, "elsewhere"), "false,");
    kubectl.run("delete secret key").ok();
    assert!(whoami(&bound).fails(1).contains("Unauthorized"));
    kubectl.run("delete serviceaccount bot").ok();
    assert!(whoami(&free).fails(1).contains("Unauthorized"));
    let issuer = kubectl.run("get --raw /.well-known/openid-configuration").ok();
    assert!(issuer.contains("https://kubernetes.default.svc.cluster.local"), "{issuer}");
    assert!(kubectl.run("get --raw /openid/v1/jwks").ok().contains("\"crv\":\"P-256\""));
}

#[test]
fn without_roles_in_force_everybody_may_do_everything() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("rbac") else { return };
    assert_eq!(kubectl.run("auth can-i create pods --as=jane").ok().trim(), "yes");
    let who =
        kubectl.run("auth whoami --as=jane --as-group=dev --as-uid=7 -o jsonpath={.status.userInfo}").ok();
    assert_eq!(who, r#"{"groups":["dev","system:authenticated"],"uid":"7","username":"jane"}"#);
}

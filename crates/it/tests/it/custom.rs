//! A team's own kinds, as kubectl and helm use them.

use kiban_testkit::{Kubectl, Sim, testdata};

const CRONTAB: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: crontabs.stable.example.com }
spec:
  group: stable.example.com
  scope: Namespaced
  names: { plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all] }
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.labelSelector
    selectableFields: [{ jsonPath: .spec.image }]
    additionalPrinterColumns:
    - { name: Spec, type: string, jsonPath: .spec.cronSpec, description: When it runs }
    - { name: Replicas, type: integer, jsonPath: .spec.replicas }
    - { name: Image, type: string, jsonPath: .spec.image, priority: 1 }
    - { name: Age, type: date, jsonPath: .metadata.creationTimestamp }
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            description: What runs when.
            required: [cronSpec]
            properties:
              cronSpec: { type: string, pattern: '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$', description: As crontab has it. }
              image: { type: string, default: busybox }
              replicas: { type: integer, minimum: 1, maximum: 10, default: 1 }
              mode: { type: string, enum: [Fast, Slow] }
              steps:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: { name: { type: string }, run: { type: string } }
              free: { type: object, x-kubernetes-preserve-unknown-fields: true }
          status:
            type: object
            properties: { replicas: { type: integer }, labelSelector: { type: string } }
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } }
"#;

fn crontab(spec: &str) -> String {
    format!("apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {{ name: nightly }}\nspec: {spec}\n")
}

fn establish(kubectl: &Kubectl) {
    kubectl.feed("create -f -", CRONTAB).ok();
    kubectl.run("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=30s").ok();
}

#[test]
fn a_custom_kind_is_served_from_its_definition_to_its_end() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("custom") else { return };
    establish(&kubectl);
    let resources = kubectl.run("api-resources --api-group=stable.example.com").ok();
    assert!(
        resources.contains("crontabs   ct           stable.example.com/v1   true         CronTab"),
        "{resources}"
    );
    kubectl.feed("apply -f -", &crontab("{ cronSpec: '* * * * */5', free: { a: { b: [1] } } }")).ok();
    let table = kubectl.run("get ct").ok();
    assert!(
        table.starts_with("NAME      SPEC          REPLICAS   AGE\nnightly   * * * * */5   1 "),
        "{table}"
    );
    let wide = kubectl.run("get all -o wide").ok();
    assert!(wide.contains("busybox"), "{wide}");
    assert_eq!(kubectl.run("get ct nightly -o jsonpath={.spec.free}").ok(), r#"{"a":{"b":[1]}}"#);
    let explained = kubectl.run("explain crontab.spec").ok();
    assert!(explained.contains("What runs when.") && explained.contains("As crontab has it."), "{explained}");
    assert!(kubectl.run("describe ct nightly").ok().contains("Cron Spec:  * * * * */5"));

    kubectl.run("scale ct/nightly --replicas=3").ok();
    kubectl.run(r#"patch ct nightly --type=merge -p '{"spec":{"mode":"Fast"}}'"#).ok();
    kubectl
        .run(
            r#"patch ct nightly --type=json -p '[{"op":"add","path":"/spec/steps","value":[{"name":"a"}]}]'"#,
        )
        .ok();
    let strategic = kubectl.run(r#"patch ct nightly --type=strategic -p '{"spec":{}}'"#).fails(1);
    assert!(
        strategic
            .contains("strategic-merge-patch+json is not supported by stable.example.com/v1, Kind=CronTab"),
        "{strategic}"
    );
    assert_eq!(kubectl.run("get ct nightly -o jsonpath={.spec.replicas},{.metadata.generation}").ok(), "3,4");
    kubectl.run(r#"patch ct nightly --subresource=status --type=merge -p '{"status":{"replicas":3},"spec":{"mode":"Slow"}}'"#).ok();
    let after =
        kubectl.run("get ct nightly -o jsonpath={.status.replicas},{.spec.mode},{.metadata.generation}").ok();
    assert_eq!(after, "3,Fast,4");
    assert_eq!(
        kubectl.run("get ct --field-selector spec.image=busybox -o name").ok().trim(),
        "crontab.stable.example.com/nightly"
    );
    assert_eq!(kubectl.run("get ct --field-selector spec.image=other -o name").ok(), "");

    let older = kubectl.run("get crontabs.v1beta1.stable.example.com nightly -o yaml");
    assert!(older.err.contains("Warning: stable.example.com/v1beta1 CronTab is deprecated"), "{}", older.err);
    assert!(older.ok().contains("apiVersion: stable.example.com/v1beta1"));

    kubectl.run("delete crd crontabs.stable.example.com --timeout=30s").ok();
    let gone = kubectl.run("get ct").fails(1);
    assert!(gone.contains("the server could not find the requested resource"), "{gone}");
}

#[test]
fn what_does_not_fit_a_definition_is_refused_by_field() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("custom") else { return };
    establish(&kubectl);
    for (spec, words) in [
        ("{}", "spec.cronSpec: Required value"),
        (
            "{ cronSpec: x }",
            "spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'",
        ),
        (
            "{ cronSpec: '* * * * *', replicas: 11 }",
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        (
            "{ cronSpec: '* * * * *', replicas: many }",
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
        ),
        (
            "{ cronSpec: '* * * * *', mode: Odd }",
            "spec.mode: Unsupported value: \"Odd\": supported values: \"Fast\", \"Slow\"",
        ),
        (
            "{ cronSpec: '* * * * *', steps: [{name: a}, {name: a}] }",
            "spec.steps[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        ("{ cronSpec: '* * * * *', color: red }", "strict decoding error: unknown field \"spec.color\""),
    ] {
        let refused = kubectl.feed("create -f -", &crontab(spec)).fails(1);
        assert!(refused.contains(words), "{spec}: {refused}");
    }
    let warned =
        kubectl.feed("create --validate=warn -f -", &crontab("{ cronSpec: '* * * * *', color: red }"));
    assert!(warned.err.contains("Warning: unknown field \"spec.color\""), "{}", warned.err);
    warned.ok();
    assert_eq!(kubectl.run("get ct nightly -o jsonpath={.spec.color}").ok(), "");
}

#[test]
fn custom_objects_are_applied_field_by_field() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("custom") else { return };
    establish(&kubectl);
    let one = crontab("{ cronSpec: '* * * * *', steps: [{ name: a, run: x }] }");
    kubectl.feed("apply --server-side --field-manager=one -f -", &one).ok();
    let two = crontab("{ cronSpec: '* * * * *', steps: [{ name: b, run: z }] }");
    kubectl.feed("apply --server-side --field-manager=two -f -", &two).ok();
    assert_eq!(kubectl.run("get ct nightly -o jsonpath={.spec.steps[*].name}").ok(), "a b");
    let other = crontab("{ cronSpec: '0 * * * *' }");
    let refused = kubectl.feed("apply --server-side --field-manager=three -f -", &other).fails(1);
    assert!(refused.contains(".spec.cronSpec"), "{refused}");
    kubectl.feed("apply --server-side --field-manager=two -f -", &crontab("{ cronSpec: '* * * * *' }")).ok();
    assert_eq!(kubectl.run("get ct nightly -o jsonpath={.spec.steps[*].name}").ok(), "a");
    kubectl.feed("diff --server-side --field-manager=one -f -", &one).ok();
}

#[test]
fn namespaces_and_owners_take_custom_objects_with_them() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("custom") else { return };
    establish(&kubectl);
    kubectl.run("create namespace team").ok();
    kubectl.feed("apply -n team -f -", &crontab("{ cronSpec: '* * * * *' }")).ok();
    let uid = kubectl.run("get ct nightly -n team -o jsonpath={.metadata.uid}").ok();
    let child = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: child, namespace: team, ownerReferences: [{{ apiVersion: stable.example.com/v1, kind: CronTab, name: nightly, uid: {uid} }}] }}\n"
    );
    kubectl.feed("create -f -", &child).ok();
    kubectl.run("delete ct nightly -n team").ok();
    kubectl.run("wait --for=delete cm/child -n team --timeout=30s").ok();
    kubectl.feed("apply -n team -f -", &crontab("{ cronSpec: '* * * * *' }")).ok();
    kubectl.run("delete namespace team --timeout=30s").ok();
    assert_eq!(kubectl.run("get ct -A -o name").ok(), "");
}

#[test]
fn rules_of_a_definition_are_run_and_those_that_are_not_are_named() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("custom") else { return };
    let definition = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: scalers.example.com }
spec:
  group: example.com
  scope: Cluster
  names: { plural: scalers, kind: Scaler }
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - { rule: self.min <= self.max, messageExpression: "'min ' + string(self.min) + ' is above max'" }
            - { rule: quantity(self.cpu).isGreaterThan(quantity('0')) }
            properties:
              min: { type: integer }
              max: { type: integer, x-kubernetes-validations: [{ rule: self >= oldSelf, message: max only grows }] }
              cpu: { type: string }
"#;
    let created = kubectl.feed("create -f -", definition);
    let words = "x-kubernetes-validations[1].rule: this rule is not run by the embedded cluster: undeclared reference to";
    assert!(created.err.contains(words), "{}", created.err);
    created.ok();
    let scaler = |min: u32, max: u32| {
        format!(
            "apiVersion: example.com/v1\nkind: Scaler\nmetadata: {{ name: s }}\nspec: {{ min: {min}, max: {max} }}\n"
        )
    };
    let refused = kubectl.feed("apply -f -", &scaler(3, 2)).fails(1);
    assert!(refused.contains("spec: Invalid value: min 3 is above max"), "{refused}");
    kubectl.feed("apply -f -", &scaler(1, 4)).ok();
    let refused = kubectl.feed("apply -f -", &scaler(1, 3)).fails(1);
    assert!(refused.contains("spec.max: Invalid value: 3: max only grows"), "{refused}");
    kubectl.feed("apply -f -", &scaler(1, 5)).ok();
}

#[test]
fn charts_bring_their_kinds() {
    let sim = Sim::start(1);
    let (Some(kubectl), Some(helm)) = (sim.kubectl("custom"), sim.helm("custom")) else { return };
    let Some(data) = testdata("custom", "helm-charts/sealed-secrets") else { return };
    helm.run(&format!("install sealed {} -n default --wait=false", data.display())).ok();
    let object = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: { name: s }\nspec: { encryptedData: { key: AgB }, template: { metadata: { labels: { a: b } } } }\n";
    kubectl.feed("apply --server-side -f -", object).ok();
    assert_eq!(kubectl.run("get sealedsecret s -o jsonpath={.spec.encryptedData.key}").ok(), "AgB");
    let table = kubectl.run("get sealedsecrets").ok();
    assert!(table.starts_with("NAME   STATUS   SYNCED   AGE\ns "), "{table}");
}

#[test]
fn a_name_that_is_taken_is_not_given_twice() {
    let sim = Sim::start(0);
    let Some(kubectl) = sim.kubectl("custom") else { return };
    establish(&kubectl);
    let second = CRONTAB
        .replace("crontabs", "crons")
        .replace("kind: CronTab", "kind: Cron")
        .replace("singular: crontab", "singular: cron");
    kubectl.feed("create -f -", &second).ok();
    let condition = |type_: &str| {
        let path = format!("{{.status.conditions[?(@.type==\"{type_}\")].reason}}");
        kubectl.args(&["get", "crd", "crons.stable.example.com", "-o", &format!("jsonpath={path}")]).ok()
    };
    assert_eq!(
        (condition("NamesAccepted").as_str(), condition("Established").as_str()),
        ("ShortNamesConflict", "NotAccepted")
    );
    kubectl.run("delete crd crontabs.stable.example.com --timeout=30s").ok();
    kubectl.run("wait --for=condition=Established crd/crons.stable.example.com --timeout=30s").ok();
    kubectl.run("get crons").ok();
}

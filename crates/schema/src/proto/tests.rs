//! Golden messages of Kubernetes' own encoder and of kubectl, round trips, and garbage.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

mod encode;
mod random;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    api_version: String,
    kind: String,
    proto: String,
    out: Value,
}

fn cases() -> Vec<(Case, Vec<u8>)> {
    use ::base64::Engine;
    let read = |line| {
        let case: Case = serde_json::from_str(line).unwrap();
        let bytes = ::base64::engine::general_purpose::STANDARD.decode(&case.proto).unwrap();
        (case, bytes)
    };
    include_str!("../../tests/golden/proto.jsonl").lines().map(read).collect()
}

#[test]
fn messages_decode_as_kubernetes_decodes_them() {
    let cases = cases();
    assert!(cases.len() > 400);
    let mut wrong = Vec::new();
    for (case, bytes) in &cases {
        let schema = Schema::builtin();
        let ours = decode_envelope(schema, bytes);
        // A pointer to Go's zero time, which only a random filler makes, is null there.
        let id = schema.type_of(&case.api_version, &case.kind).unwrap();
        let out = strict::normalise(schema, id, case.out.clone()).unwrap();
        let same = ours
            .as_ref()
            .is_ok_and(|e| e.value == out && e.kind == case.kind && e.api_version == case.api_version);
        if !same {
            wrong.push(format!("{}\n  {ours:?}\n  want {}", case.kind, case.out));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[derive(serde::Deserialize)]
struct Sent {
    command: String,
    proto: String,
    out: Option<Value>,
}

/// What the commands without a client-side dry run ask for.
fn reviews() -> Vec<(&'static str, Value)> {
    let access = |attributes: Value| {
        let mut v = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "metadata": {}, "status": {"allowed": false}
        });
        v["spec"] = attributes;
        v
    };
    vec![
        (
            "create token builder --duration=1h --audience=api",
            json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
                "spec": {"audiences": ["api"], "boundObjectRef": null, "expirationSeconds": 3600},
                "status": {"expirationTimestamp": null, "token": ""}
            }),
        ),
        (
            "auth can-i create pods",
            access(json!({"resourceAttributes": {
                "namespace": "default", "verb": "create", "resource": "pods"}})),
        ),
        (
            "auth can-i get /metrics",
            access(json!({"nonResourceAttributes": {"path": "/metrics", "verb": "get"}})),
        ),
        (
            "auth can-i --list",
            json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                "metadata": {}, "spec": {"namespace": "default"},
                "status": {"incomplete": false, "nonResourceRules": null, "resourceRules": null}
            }),
        ),
        (
            "auth whoami",
            json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
                "metadata": {}, "status": {"userInfo": {}}
            }),
        ),
    ]
}

#[test]
fn what_kubectl_sends_is_what_it_says_that_it_sends() {
    use ::base64::Engine;
    let schema = Schema::builtin();
    let reviews = reviews();
    for line in include_str!("../../tests/golden/kubectl.jsonl").lines() {
        let sent: Sent = serde_json::from_str(line).unwrap();
        let bytes = ::base64::engine::general_purpose::STANDARD.decode(&sent.proto).unwrap();
        let ours = decode_envelope(schema, &bytes).unwrap();
        let review = reviews.iter().find(|(command, _)| *command == sent.command);
        let want = sent.out.or_else(|| review.map(|(_, v)| v.clone())).unwrap();
        let id = schema.type_of(&ours.api_version, &ours.kind).unwrap();
        let mut want = strict::normalise(schema, id, want).unwrap();
        // kubectl prints the namespace that it puts in the URL.
        if ours.value["metadata"].get("namespace").is_none() {
            want["metadata"].as_object_mut().unwrap().remove("namespace");
        }
        assert_eq!(ours.value, want, "{}", sent.command);
    }
}

#[test]
fn truncated_messages_are_errors_or_shorter_objects() {
    for (_, bytes) in cases().iter().step_by(7) {
        for end in 0..bytes.len() {
            let _ = decode_envelope(Schema::builtin(), &bytes[..end]);
        }
    }
}

#[test]
fn what_is_no_message_is_an_error_with_the_real_text() {
    let schema = Schema::builtin();
    let text = |bytes: &[u8]| decode_envelope(schema, bytes).unwrap_err().to_string();
    assert_eq!(text(b""), "empty data");
    assert_eq!(
        text(b"{}"),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
    assert_eq!(text(b"k8s\0"), "empty body");
    assert_eq!(text(b"k8s\0\x12\0"), "Object 'Kind' is missing in the protobuf envelope");
    assert_eq!(text(b"k8s\0\x0a"), "proto: unexpected EOF");
    assert_eq!(text(b"k8s\0\x08\x01"), "proto: wrong wireType = 0 for field 1");
    assert_eq!(text(b"k8s\0\x0b"), "proto: illegal wireType 3");
    assert_eq!(text(b"k8s\0\x00\x00"), "proto: illegal tag 0");
    assert_eq!(text(&[b"k8s\0".as_slice(), &[0xff; 11]].concat()), "proto: integer overflow");
    let unknown = encode::envelope("v1", "Nothing", &[]);
    assert_eq!(text(&unknown), "no kind \"Nothing\" is registered for version \"v1\"");
}

#[test]
fn an_open_envelope_takes_its_kind_from_the_caller() {
    let bytes = encode::envelope("", "", b"");
    let schema = Schema::builtin();
    let got = decode_envelope_or(schema, &bytes, Some(("policy/v1", "Eviction"))).unwrap();
    assert_eq!(got.value, json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {}}));
}

#[test]
fn nesting_and_numbers_have_limits() {
    let schema = Schema::builtin();
    let id = schema.type_named(special::SCHEMA_PROPS).unwrap();
    // JSONSchemaProps.not, in itself.
    let not = schema.get(id).field("not").unwrap().proto;
    let mut bytes = Vec::new();
    for _ in 0..MAX_DEPTH + 20 {
        bytes = encode::bytes_field(not, &bytes);
    }
    assert_eq!(decode(schema, id, &bytes), Err(ProtoError::Depth));
    let many = encode::bytes_field(2, &encode::bytes_field(2, b"").repeat(300_000));
    let pod = schema.type_of("v1", "Pod").unwrap();
    assert_eq!(decode(schema, pod, &many).unwrap_err().to_string(), "too many objects in one body");
}

#[test]
fn repeated_numbers_come_packed_or_one_by_one() {
    let schema = Schema::builtin();
    let id = schema.type_named("io.k8s.api.core.v1.PodSecurityContext").unwrap();
    let number = schema.get(id).field("supplementalGroups").unwrap().proto;
    let want = json!({"supplementalGroups": [1, -2, 300]});
    let packed = [1, -2, 300].map(|n: i64| encode::varint(n as u64)).concat();
    assert_eq!(decode(schema, id, &encode::bytes_field(number, &packed)).unwrap(), want);
    assert_eq!(decode(schema, id, &encode::message(schema, id, &want)).unwrap(), want);
    let cut = encode::bytes_field(number, &[0x80]);
    assert_eq!(decode(schema, id, &cut), Err(ProtoError::Wire(WireError::Truncated)));
}

#[test]
fn fields_of_a_newer_client_are_dropped() {
    let schema = Schema::builtin();
    let id = schema.type_of("v1", "ConfigMap").unwrap();
    let bytes =
        [encode::bytes_field(9_999, b"new"), encode::message(schema, id, &json!({"data": {"a": "b"}}))];
    assert_eq!(decode(schema, id, &bytes.concat()).unwrap(), json!({"metadata": {}, "data": {"a": "b"}}));
}

#[test]
fn a_message_that_comes_in_two_parts_merges() {
    let schema = Schema::builtin();
    let id = schema.type_of("v1", "ConfigMap").unwrap();
    let part = |v: Value| encode::message(schema, id, &v);
    let bytes = [
        part(json!({"metadata": {"name": "a"}, "data": {"x": "1"}})),
        part(json!({"metadata": {"namespace": "b"}, "data": {"y": "2"}})),
    ]
    .concat();
    assert_eq!(
        decode(schema, id, &bytes).unwrap(),
        json!({"metadata": {"name": "a", "namespace": "b"}, "data": {"x": "1", "y": "2"}})
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes_to_itself(seed in any::<u64>(), at in any::<prop::sample::Index>()) {
        let schema = Schema::builtin();
        let kind = at.get(&schema.kinds);
        let value = random::value(schema, kind.type_id, seed);
        let value = strict::normalise(schema, kind.type_id, value).unwrap();
        let bytes = encode::message(schema, kind.type_id, &value);
        prop_assert_eq!(decode(schema, kind.type_id, &bytes).unwrap(), value);
    }

    #[test]
    fn any_bytes_give_a_value_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
    ) {
        let schema = Schema::builtin();
        let kind = at.get(&schema.kinds);
        let _ = decode(schema, kind.type_id, &bytes);
        let _ = decode_envelope(schema, &encode::envelope(&kind.api_version(), &kind.kind, &bytes));
    }

    #[test]
    fn a_changed_byte_gives_a_value_or_an_error(
        case in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let cases = cases();
        let mut bytes = case.get(&cases).1.clone();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = decode_envelope(Schema::builtin(), &bytes);
    }
}

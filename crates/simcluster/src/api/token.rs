//! Tokens of service accounts: signed by the cluster's key, bound to what is there, and checked again.
//!
//! Contract: Kubernetes pkg/serviceaccount (claims.go, jwt.go) and pkg/registry/core/serviceaccount/storage;
//! RFC 7515 and 7517 for the form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Response;
use kiban_base::clock::Timestamp;
use kiban_runtime::http::Body;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::path::Target;
use super::{Api, Call, body, respond};
use crate::kind::{kind_id, well_known};
use crate::object::Key;
use crate::rbac::User;
use crate::registry::Cluster;
use crate::status::ApiError;

/// Who issues tokens, and whom they are for where nothing else is asked.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// How long a token outlives the pod that it is bound to.
const LEEWAY: i64 = 60;
/// Shortest and longest life of a token, in seconds.
const LIFE: std::ops::RangeInclusive<i64> = 600..=1 << 32;
/// Bytes of a token that are looked at.
const MAX_TOKEN: usize = 64 << 10;

/// The key that signs tokens.
pub(super) struct Signer {
    key: EcdsaKeyPair,
    id: String,
}

impl Signer {
    /// A new key. Not from the cluster's seed: whoever knows the seed could sign.
    pub(super) fn new() -> Option<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).ok()?;
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(key.public_key().as_ref()));
        Some(Self { key, id })
    }

    fn sign(&self, claims: &Value) -> Option<String> {
        let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let head = json!({"alg": "ES256", "kid": self.id});
        let signed = format!("{}.{}", part(&head), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token that this key signed.
    fn open(&self, token: &str) -> Option<Value> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let read = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        if read(head)?["alg"] != "ES256" {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        read(claims)
    }

    /// The public key as a set of one (RFC 7517).
    pub(super) fn key_set(&self) -> Value {
        // An uncompressed point: a byte 4, then x and y.
        let point = self.key.public_key().as_ref();
        let (x, y) = point.get(1..).and_then(|xy| xy.split_at_checked(32)).unwrap_or_default();
        let text = |b: &[u8]| URL_SAFE_NO_PAD.encode(b);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": text(x), "y": text(y),
        }]})
    }
}

/// What a good token says.
pub(super) struct Holder {
    pub(super) user: User,
    pub(super) audiences: Vec<String>,
}

/// Whose token this is, if it is one of the cluster, for one of `audiences`, and still good.
///
/// # Errors
/// Why not, in words for a TokenReview.
pub(super) fn holder(
    cluster: &Cluster,
    signer: &Signer,
    token: &str,
    audiences: &[String],
) -> Result<Holder, String> {
    let bad = |why: &str| format!("[invalid bearer token, {why}]");
    let claims = signer.open(token).ok_or_else(|| bad("square/go-jose: error in cryptographic primitive"))?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let now = cluster.now().secs();
    if claims["exp"].as_i64().is_none_or(|t| t <= now) {
        return Err(bad("service account token has expired"));
    }
    if claims["nbf"].as_i64().is_none_or(|t| t > now) {
        return Err(bad("token used before its not-before time"));
    }
    let given: Vec<String> = claims["aud"].as_array().into_iter().flatten().map(text).collect();
    let common: Vec<String> = given.iter().filter(|a| audiences.contains(a)).cloned().collect();
    if common.is_empty() {
        return Err(bad(&format!(
            "token audiences {given:?} is invalid for the target audiences {audiences:?}"
        )));
    }
    let own = &claims["kubernetes.io"];
    let namespace = text(&own["namespace"]);
    let account = &own["serviceaccount"];
    let (name, uid) = (text(&account["name"]), text(&account["uid"]));
    let found = cluster.get(*well_known::SERVICE_ACCOUNT, &Key::new(namespace.as_str(), name.as_str()));
    let account = found.ok_or_else(|| bad(&format!("serviceaccounts \"{name}\" not found")))?;
    if *account.uid != *uid {
        return Err(bad("service account UID does not match claim"));
    }
    let mut user = User::service_account(&namespace, &name, &uid);
    let mut know = |key: &str, value: String| {
        user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value])
    };
    know("credential-id", format!("JTI={}", text(&claims["jti"])));
    for (kind, key) in [("Pod", "pod"), ("Secret", "secret"), ("Node", "node")] {
        let bound = &own[key];
        if bound.is_null() {
            continue;
        }
        let (name, uid) = (text(&bound["name"]), text(&bound["uid"]));
        let place = if kind == "Node" { "" } else { namespace.as_str() };
        let there = kind_id("", kind).and_then(|k| cluster.get(k, &Key::new(place, name.as_str())));
        let there = there.filter(|o| *o.uid == *uid);
        let ended = there.as_ref().filter(|o| o.deleting).and_then(|o| {
            o.value()["metadata"]["deletionTimestamp"]
                .as_str()
                .and_then(Timestamp::parse)
                .map(Timestamp::secs)
        });
        // A node may go before what ran on it.
        let lost = there.is_none() && (kind != "Node" || own["pod"].is_null());
        if lost || ended.is_some_and(|t| t + LEEWAY < now) {
            return Err(bad("service account token has been invalidated"));
        }
        if kind != "Secret" {
            know(&format!("{key}-name"), name);
            know(&format!("{key}-uid"), uid);
        }
    }
    Ok(Holder { user, audiences: common })
}

impl Api {
    /// `POST serviceaccounts/NAME/token`.
    pub(super) fn token(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let kind = kind_id("authentication.k8s.io", "TokenRequest").ok_or_else(ApiError::no_route)?;
        let account = self.find(target.kind, &target.key())?;
        let mut request = body::object(call, kind)?.value;
        let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3_600);
        check_life(seconds)?;
        let now = self.cluster.now();
        let expires = now + std::time::Duration::from_secs(seconds.unsigned_abs());
        if request["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
            request["spec"]["audiences"] = json!([ISSUER]);
        }
        let id = self.cluster.random(|r| r.uuid_v4());
        let mut claims = json!({
            "iss": ISSUER, "aud": request["spec"]["audiences"], "jti": id,
            "iat": now.secs(), "nbf": now.secs(), "exp": expires.secs(),
            "sub": format!("system:serviceaccount:{}:{}", account.key.namespace, account.key.name),
            "kubernetes.io": {
                "namespace": &*account.key.namespace,
                "serviceaccount": {"name": &*account.key.name, "uid": &*account.uid},
            },
        });
        self.bind_token(&account.key, &request["spec"]["boundObjectRef"], &mut claims["kubernetes.io"])?;
        let signed = self.signer.as_ref().and_then(|s| s.sign(&claims));
        let signed =
            signed.ok_or_else(|| ApiError::new(500, "InternalError", "the token could not be signed"))?;
        request["apiVersion"] = "authentication.k8s.io/v1".into();
        request["kind"] = "TokenRequest".into();
        request["metadata"] = json!({
            "name": &*account.key.name, "namespace": &*account.key.namespace, "creationTimestamp": now.rfc3339(),
        });
        request["spec"]["expirationSeconds"] = seconds.into();
        request["status"] = json!({"token": signed, "expirationTimestamp": expires.rfc3339()});
        Ok(respond::value(201, &request))
    }

    /// Binds a token to an object that is there.
    fn bind_token(&self, account: &Key, bound: &Value, own: &mut Value) -> Result<(), ApiError> {
        if bound.is_null() {
            return Ok(());
        }
        let text = |key: &str| bound[key].as_str().unwrap_or_default();
        let (name, kind) = (text("name"), text("kind"));
        let (id, place, key) = match kind {
            "Pod" => (*well_known::POD, &*account.namespace, "pod"),
            "Secret" => (*well_known::SECRET, &*account.namespace, "secret"),
            "Node" => (*well_known::NODE, "", "node"),
            other => {
                let why = format!(
                    "cannot bind token for serviceaccount to object of type {}, Kind={other}",
                    text("apiVersion")
                );
                return Err(ApiError::bad_request(why));
            }
        };
        let there = self.find(id, &Key::new(place, name))?;
        let uid = text("uid");
        if !uid.is_empty() && *there.uid != *uid {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(ApiError::conflict(id, name, &why));
        }
        let value = there.value();
        if kind == "Pod" {
            let runs_as = value["spec"]["serviceAccountName"].as_str().unwrap_or_default();
            if runs_as != &*account.name {
                let why = format!(
                    "cannot bind token for serviceaccount \"{}\" to pod running with different serviceaccount name.",
                    account.name
                );
                return Err(ApiError::bad_request(why));
            }
            let node = value["spec"]["nodeName"].as_str().unwrap_or_default();
            if let Some(node) = self.cluster.get(*well_known::NODE, &Key::new("", node)) {
                own["node"] = json!({"name": &*node.key.name, "uid": &*node.uid});
            }
        }
        own[key] = json!({"name": name, "uid": &*there.uid});
        Ok(())
    }
}

fn check_life(seconds: i64) -> Result<(), ApiError> {
    if LIFE.contains(&seconds) {
        return Ok(());
    }
    let limit = match seconds < *LIFE.start() {
        true => "may not specify a duration less than 10 minutes",
        false => "may not specify a duration larger than 2^32 seconds",
    };
    let why = format!("Invalid value: {seconds}: {limit}");
    let text = format!("TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: {why}");
    Err(ApiError::new(422, "Invalid", text).cause("FieldValueInvalid", why, Some("spec.expirationSeconds")))
}

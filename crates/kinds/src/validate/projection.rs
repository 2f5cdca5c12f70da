//! Checks of projected volumes: several sources in one folder, no two of the same path.

use std::collections::BTreeSet;

use kiban_base::names;

use super::at::At;
use super::cause::Causes;
use super::meta::label_selector;
use super::volume::{downward_file, file_path, key_to_path};

const DUPLICATE: &str = "conflicting duplicate paths";
const TOKEN_MIN_SECONDS: i64 = 600;
const TOKEN_MAX_SECONDS: i64 = 1 << 32;

/// The sources of a projected volume.
pub(crate) fn sources(volume: &At<'_, '_>, out: &mut Causes) {
    let mut taken = BTreeSet::new();
    for source in volume.get("sources").items() {
        let mut count = 0;
        for name in ["secret", "configMap"] {
            let part = source.get(name);
            if part.is_set() {
                count += 1;
                keyed(volume, &part, &mut taken, out);
            }
        }
        let downward = source.get("downwardAPI");
        if downward.is_set() {
            count += 1;
            for file in downward.get("items").items() {
                downward_file(&downward.with(file.value), out);
                take(volume, file.get("path").str(), file.get("path").str(), &mut taken, out);
            }
        }
        let token = source.get("serviceAccountToken");
        if token.is_set() {
            count += 1;
            service_account_token(volume, &token, out);
        }
        let bundle = source.get("clusterTrustBundle");
        if bundle.is_set() {
            count += 1;
            trust_bundle(volume, &bundle, &mut taken, out);
        }
        if source.get("podCertificate").is_set() {
            count += 1;
        }
        if count > 1 {
            out.forbidden(source, "may not specify more than 1 volume type per source");
        }
    }
}

fn take<'v>(
    volume: &At<'_, '_>,
    path: &'v str,
    shown: &str,
    taken: &mut BTreeSet<&'v str>,
    out: &mut Causes,
) {
    if !path.is_empty() && !taken.insert(path) {
        out.invalid(volume, shown, DUPLICATE);
    }
}

fn keyed<'v>(volume: &At<'v, '_>, source: &At<'v, '_>, taken: &mut BTreeSet<&'v str>, out: &mut Causes) {
    let name = source.get("name");
    if name.is_empty() {
        out.required(name, "");
    }
    for item in source.get("items").items() {
        key_to_path(&item, out);
        take(volume, item.get("path").str(), name.str(), taken, out);
    }
}

fn service_account_token(volume: &At<'_, '_>, token: &At<'_, '_>, out: &mut Causes) {
    let seconds = token.get("expirationSeconds");
    if seconds.int_or_zero() < TOKEN_MIN_SECONDS {
        out.invalid(seconds, seconds.int_or_zero(), "may not specify a duration less than 10 minutes");
    }
    if seconds.int_or_zero() > TOKEN_MAX_SECONDS {
        out.invalid(seconds, seconds.int_or_zero(), "may not specify a duration larger than 2^32 seconds");
    }
    let place = volume.path.child("path");
    let path = token.get("path").str();
    if path.is_empty() {
        out.required(place, "");
    } else {
        file_path(path, &place, out);
    }
}

fn trust_bundle<'v>(volume: &At<'v, '_>, at: &At<'v, '_>, taken: &mut BTreeSet<&'v str>, out: &mut Causes) {
    let (name, signer, selector) = (at.get("name"), at.get("signerName"), at.get("labelSelector"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => out.invalid(at, at, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                out.required(name, "must be a valid object name");
            }
            for sentence in names::check_dns1123_subdomain(name.str().rsplit(':').next().unwrap_or("")) {
                out.invalid(name, name.str(), &format!("not a valid clustertrustbundlename: {sentence}"));
            }
            if selector.is_set() {
                out.invalid(selector, &selector, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                out.required(signer, "must be a valid signer name");
            }
            label_selector(&selector, out);
        }
        (false, false) => out.required(at, "either name or signerName must be specified"),
    }
    let path = at.get("path");
    if path.is_empty() {
        out.required(path, "");
    }
    file_path(path.str(), &path.path, out);
    if !taken.insert(path.str()) {
        out.invalid(volume, path.str(), DUPLICATE);
    }
}

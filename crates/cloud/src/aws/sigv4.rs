//! Signature Version 4: a request's method, path, query, headers and body under a key of the day.
//!
//! Source: AWS General Reference, "Create a signed AWS API request"; the tests hold the published vectors.

use std::fmt::Write;

use kiban_base::clock::Timestamp;
use kiban_runtime::secret::Secret;
use ring::{digest, hmac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The id of the access key.
    pub key_id: &'a str,
    /// Its secret.
    pub secret: &'a Secret,
    /// The region of the service, as in `eu-central-1`.
    pub region: &'a str,
    /// The service's name in signatures, as in `ecr`.
    pub service: &'a str,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method.
    pub method: &'a str,
    /// The path as it is sent; empty means `/`.
    pub path: &'a str,
    /// Names and values of the query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Headers to sign: `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// A time as signatures write it: `20150830T123600Z`.
pub fn date(at: Timestamp) -> String {
    at.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

impl Signer<'_> {
    /// The value of `Authorization` for a message; `date` is that of its `x-amz-date`.
    pub fn authorization(&self, message: &Message<'_>, date: &str) -> String {
        let (request, signed) = canonical(message);
        let day = date.get(..8).unwrap_or(date);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256(request.as_bytes()));
        let signature = hex(hmac(&self.key(day), text.as_bytes()).as_ref());
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.key_id
        )
    }

    /// The key of a day.
    fn key(&self, day: &str) -> Vec<u8> {
        let first = zeroize::Zeroizing::new(format!("AWS4{}", self.secret.expose()));
        let mut key = hmac(first.as_bytes(), day.as_bytes()).as_ref().to_vec();
        for part in [self.region, self.service, "aws4_request"] {
            key = hmac(&key, part.as_bytes()).as_ref().to_vec();
        }
        key
    }
}

/// The request in the one form that both sides compute, and the names of the headers in it.
fn canonical(message: &Message<'_>) -> (String, String) {
    let mut query: Vec<(String, String)> =
        message.query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // Values of one header stay in their order.
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in message.headers {
        let (name, value) = (name.to_ascii_lowercase(), squeeze(value));
        match headers.iter_mut().find(|(n, _)| *n == name) {
            Some((_, all)) => {
                all.push(',');
                all.push_str(&value);
            }
            None => headers.push((name, value)),
        }
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut text = format!("{}\n{}\n{}\n", message.method, path(message.path), query.join("&"));
    for (name, value) in &headers {
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{names}\n{}", sha256(message.body));
    (text, names)
}

/// A path without empty parts and dots, each part encoded. What has an encoded byte is encoded once more, as
/// every service but S3 demands.
fn path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let folder = !parts.is_empty() && (path.ends_with('/') || path.ends_with("/.") || path.ends_with("/.."));
    let encoded: Vec<String> = parts.into_iter().map(encode).collect();
    format!("/{}{}", encoded.join("/"), if folder { "/" } else { "" })
}

/// Percent-encodes everything but what RFC 3986 calls unreserved.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A header's value without spaces around it, and with single ones in it.
fn squeeze(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn hmac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The published test suite of Signature Version 4 (aws-sig-v4-test-suite): name, method, path, query,
    /// headers beside host and date, body, signed headers, signature. Key and date are the suite's.
    #[allow(clippy::type_complexity)]
    const SUITE: &[(&str, &str, &str, &[(&str, &str)], &[(&str, &str)], &str, &str, &str)] = &[
        (
            "get-vanilla",
            "GET",
            "/",
            &[],
            &[],
            "",
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "post-vanilla",
            "POST",
            "/",
            &[],
            &[],
            "",
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "get-vanilla-query-order-key-case",
            "GET",
            "/",
            &[("Param2", "value2"), ("Param1", "value1")],
            &[],
            "",
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-vanilla-query-order-value",
            "GET",
            "/",
            &[("Param1", "value2"), ("Param1", "value1")],
            &[],
            "",
            "host;x-amz-date",
            "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
        ),
        (
            "get-unreserved",
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            &[],
            &[],
            "",
            "host;x-amz-date",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "get-slashes",
            "GET",
            "//example//",
            &[],
            &[],
            "",
            "host;x-amz-date",
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        ),
        (
            "post-x-www-form-urlencoded",
            "POST",
            "/",
            &[],
            &[("Content-Type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ];

    #[test]
    fn signatures_are_those_of_the_published_suite() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signer =
            Signer { key_id: "AKIDEXAMPLE", secret: &secret, region: "us-east-1", service: "service" };
        let at = date(Timestamp::parse("2015-08-30T12:36:00Z").unwrap());
        assert_eq!(at, "20150830T123600Z");
        for (name, method, path, query, more, body, signed, signature) in SUITE {
            let mut headers = vec![("Host", "example.amazonaws.com"), ("X-Amz-Date", at.as_str())];
            headers.extend_from_slice(more);
            let message = Message { method, path, query, headers: &headers, body: body.as_bytes() };
            assert_eq!(
                signer.authorization(&message, &at),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, Signature={signature}"
                ),
                "{name}"
            );
        }
    }

    /// "Examples of the complete signing process", IAM User Guide: ListUsers.
    #[test]
    fn the_documented_example_of_iam_comes_out() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signer = Signer { key_id: "AKIDEXAMPLE", secret: &secret, region: "us-east-1", service: "iam" };
        let message = Message {
            method: "GET",
            path: "/",
            query: &[("Action", "ListUsers"), ("Version", "2010-05-08")],
            headers: &[
                ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("Host", "iam.amazonaws.com"),
                ("X-Amz-Date", "20150830T123600Z"),
            ],
            body: b"",
        };
        let authorization = signer.authorization(&message, "20150830T123600Z");
        assert!(
            authorization
                .ends_with("Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"),
            "{authorization}"
        );
    }

    #[test]
    fn header_values_are_joined_trimmed_and_squeezed() {
        let message = Message {
            method: "GET",
            path: "/a/./b/../c d/%2F/",
            query: &[],
            headers: &[("X-B", " a   b "), ("x-a", "1"), ("X-B", "c")],
            body: b"",
        };
        let (text, names) = canonical(&message);
        assert_eq!(names, "x-a;x-b");
        assert!(text.starts_with("GET\n/a/c%20d/%252F/\n\nx-a:1\nx-b:a b,c\n\nx-a;x-b\n"), "{text}");
    }
}

//! Where a redirect leads, and whether that is followed.

use http::header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, StatusCode, Uri};

use super::request::Redirects;
use super::{authority, origin};

/// How many redirects are followed in a row.
pub(super) const MAX_HOPS: usize = 5;

/// What is asked next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) url: Uri,
    /// It is another host: credentials stay behind.
    pub(super) foreign: bool,
}

/// Where `status` and `headers` lead from `at`; `None`: they are the answer.
///
/// # Errors
/// Why the redirect is not followed.
pub(super) fn next(
    status: StatusCode,
    headers: &HeaderMap,
    method: &Method,
    at: &Uri,
    allowed: Redirects,
) -> Result<Option<Next>, String> {
    if allowed == Redirects::No || !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    // What writes is repeated elsewhere only where the answer says that nothing else changes.
    if !reads && !matches!(status.as_u16(), 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(LOCATION) else { return Ok(None) };
    let text = location.to_str().map_err(|_| "to what is no URL".to_owned())?;
    let url = resolve(at, text).ok_or("to what is no URL")?;
    let (host, port, secure) = authority(&url).map_err(|why| format!("to what cannot be asked: {why}"))?;
    let (old_host, old_port, was_secure) = authority(at)?;
    let same_name = host.eq_ignore_ascii_case(old_host);
    let same = same_name && secure == was_secure && port == old_port;
    let upgraded = same_name && secure && !was_secure && port == 443 && old_port == 80;
    if same || upgraded {
        return Ok(Some(Next { url, foreign: false }));
    }
    if allowed == Redirects::SameHost {
        return Err(format!("to {}, another host, which is not followed", origin(&url)));
    }
    if !reads {
        return Err(format!("a {method} to {}, another host, which is not followed", origin(&url)));
    }
    if !secure {
        return Err(format!("to {}, without TLS, which is not followed", origin(&url)));
    }
    Ok(Some(Next { url, foreign: true }))
}

/// Takes away what proves who asks.
pub(super) fn strip_credentials(headers: &mut HeaderMap) {
    let secret: Vec<_> =
        headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.clone()).collect();
    for name in secret.into_iter().chain([AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]) {
        headers.remove(name);
    }
}

/// A reference, resolved against the URL that it came from (RFC 3986, 5.2); fragments are left out.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let has_scheme = reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let text = if has_scheme {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else {
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (reference, None),
        };
        let (path, query) = match path {
            "" => (base.path().to_owned(), query.or(base.query())),
            path if path.starts_with('/') => (without_dots(path), query),
            path => {
                let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
                (without_dots(&format!("{folder}/{path}")), query)
            }
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{authority}{path}{query}")
    };
    text.parse().ok()
}

/// A path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        match *part {
            "." | ".." => {
                if *part == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_resolve_as_the_standard_says() {
        let base: Uri = "https://a/b/c/d?q".parse().unwrap();
        for (reference, expect) in [
            ("https://x/y", "https://x/y"),
            ("g", "https://a/b/c/g"),
            ("./g", "https://a/b/c/g"),
            ("g/", "https://a/b/c/g/"),
            ("/g", "https://a/g"),
            ("//g/h", "https://g/h"),
            ("?y", "https://a/b/c/d?y"),
            ("g?y", "https://a/b/c/g?y"),
            ("", "https://a/b/c/d?q"),
            ("#s", "https://a/b/c/d?q"),
            ("g#s", "https://a/b/c/g"),
            (".", "https://a/b/c/"),
            ("./", "https://a/b/c/"),
            ("..", "https://a/b/"),
            ("../g", "https://a/b/g"),
            ("../..", "https://a/"),
            ("../../../g", "https://a/g"),
            ("/./g", "https://a/g"),
            ("/../g", "https://a/g"),
            ("g?y/../x", "https://a/b/c/g?y/../x"),
        ] {
            assert_eq!(resolve(&base, reference).unwrap().to_string(), expect, "{reference}");
        }
    }

    /// Status, method, from, to, what is allowed; the URL that is asked next, or why not.
    type Row<'a> = (u16, &'a str, &'a str, &'a str, Redirects, Result<&'a str, &'a str>);

    #[test]
    fn a_redirect_is_followed_only_where_the_caller_says() {
        use Redirects::{Blob, No, SameHost};
        let rows: &[Row] = &[
            (302, "GET", "https://a/x", "/y", No, Ok("")),
            (200, "GET", "https://a/x", "/y", SameHost, Ok("")),
            (304, "GET", "https://a/x", "/y", SameHost, Ok("")),
            (301, "GET", "https://a/x", "/y", SameHost, Ok("https://a/y")),
            (302, "GET", "https://a:443/x", "https://A/y", SameHost, Ok("https://a/y")),
            (302, "GET", "http://a/x", "https://a/x", SameHost, Ok("https://a/x")),
            (302, "GET", "https://a/x", "http://a/x", SameHost, Err("to http://a, another host")),
            (302, "GET", "https://a/x", "https://a:8443/x", SameHost, Err("to https://a:8443, another host")),
            (302, "GET", "https://a/x", "https://b/x?sig=1", SameHost, Err("to https://b, another host")),
            (307, "GET", "https://a/x", "https://b/x?sig=1", Blob, Ok("https://b/x?sig=1")),
            (307, "GET", "https://a/x", "http://b/x", Blob, Err("to http://b, without TLS")),
            (307, "GET", "http://a:5000/x", "http://a:5000/y", Blob, Ok("http://a:5000/y")),
            (307, "PUT", "https://a/x", "https://b/x", Blob, Err("a PUT to https://b")),
            (307, "POST", "https://a/x", "/y", SameHost, Ok("https://a/y")),
            (302, "POST", "https://a/x", "/y", SameHost, Ok("")),
            (302, "GET", "https://a/x", "ftp://a/x", Blob, Err("cannot be asked")),
            (302, "GET", "https://a/x", "https://u:p@b/x", Blob, Err("cannot be asked")),
            (302, "GET", "https://a/x", "http://[", Blob, Err("to what is no URL")),
        ];
        for (status, method, from, to, allowed, expect) in rows {
            let headers = HeaderMap::from_iter([(LOCATION, to.parse().unwrap())]);
            let method: Method = method.parse().unwrap();
            let status = StatusCode::from_u16(*status).unwrap();
            let next = next(status, &headers, &method, &from.parse().unwrap(), *allowed);
            match (next, expect) {
                (Ok(None), Ok("")) => {}
                (Ok(Some(next)), Ok(url)) => assert!(next.url.to_string().eq_ignore_ascii_case(url), "{to}"),
                (Err(why), Err(words)) => assert!(why.contains(words) && !why.contains("sig"), "{to}: {why}"),
                (got, _) => panic!("{status} {from} → {to}: {got:?}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_location_panics_or_leaves_tls(to in "\\PC{0,40}|(https?:)?[/.a:@?#]{0,16}") {
            let Ok(value) = http::HeaderValue::try_from(to.as_str()) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(LOCATION, value)]);
            let from: Uri = "https://a.example/x/y?z".parse().unwrap();
            let found = next(StatusCode::FOUND, &headers, &Method::GET, &from, Redirects::Blob);
            if let Ok(Some(next)) = found {
                proptest::prop_assert_eq!(next.url.scheme_str(), Some("https"));
                let same = next.url.host().is_some_and(|host| host.eq_ignore_ascii_case("a.example"));
                proptest::prop_assert!(next.foreign || same);
            }
        }
    }
}

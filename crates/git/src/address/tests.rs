//! Addresses as people write them.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn addresses_are_read_as_people_write_them() {
    let table = [
        ("https://github.com/acme/manifests.git", "https://github.com/acme/manifests.git"),
        ("https://github.com/acme/manifests/", "https://github.com/acme/manifests"),
        ("HTTPS://GitHub.com:443/acme/M", "https://github.com/acme/M"),
        ("https://git.example:8443/a", "https://git.example:8443/a"),
        ("  https://git.example/a\n", "https://git.example/a"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://localhost/a", "http://localhost/a"),
        ("file:///srv/m.git", "/srv/m.git"),
        ("file://localhost/srv/m.git", "/srv/m.git"),
        ("/srv/m.git", "/srv/m.git"),
        ("../manifests", "../manifests"),
        (".", "."),
    ];
    for (text, shown) in table {
        assert_eq!(Address::parse(text, false).unwrap().to_string(), shown);
    }
    assert_eq!(Address::parse("http://git.corp/a", true).unwrap().to_string(), "http://git.corp/a");
}

#[test]
fn addresses_that_cannot_be_used_say_why_and_hold_no_secret() {
    let table = [
        ("", "it is empty"),
        ("https://x:s3cret@github.com/acme/m", "it holds a user name or a token"),
        ("https://s3cret@github.com/acme/m", "it holds a user name or a token"),
        ("https://x:s3c@s3cret@github.com/m", "it holds a user name or a token"),
        ("http://x:s3cret@git.corp/m", "it holds a user name or a token"),
        ("ssh://git:s3cret@github.com/acme/m", "SSH is not spoken"),
        ("git@github.com:acme/m.git", "an address over SSH"),
        ("https:/x:s3cret@github.com/acme/m", "an address over SSH"),
        ("https://github.com/x:s3cret@host/m", "it holds a user name or a token"),
        ("https://x:s3c?ret@github.com/m", "it holds a user name or a token"),
        ("https://x:s3c#ret@github.com/m", "it holds a user name or a token"),
        ("s3cret@://x", "only https://, file:// and paths"),
        ("git://github.com/acme/m", "only https://, file:// and paths"),
        ("https://github.com/acme/m?token=s3cret", "it has a query"),
        ("https://github.com/acme/m#s3cret", "it has a query"),
        ("http://git.corp/m", "everybody on the way reads"),
        ("http://127.0.0.1.evil.example/m", "everybody on the way reads"),
        ("https:///m", "it is no URL"),
        ("https://a b/m", "it is no URL"),
        ("file://server/share", "names a folder of this machine"),
    ];
    for (text, words) in table {
        let why = Address::parse(text, false).unwrap_err().to_string();
        assert!(why.contains(words), "{text}: {why}");
        assert!(!why.contains("s3c"), "{why}");
    }
}

#[test]
fn what_is_shown_helps_to_find_the_address() {
    let shown = |text: &str| Address::parse(text, false).unwrap_err().to_string();
    assert!(
        shown("https://x:s3cret@github.com/acme/m")
            .starts_with("the repository address https://github.com/acme/m cannot be used: ")
    );
    assert!(
        shown("git@github.com:acme/m.git")
            .starts_with("the repository address github.com:acme/m.git cannot be used: ")
    );
}

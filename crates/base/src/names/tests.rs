//! Tables of good and bad names with the sentences that the API server answers.
#![allow(clippy::unwrap_used)]

use super::*;

type Check = fn(&str) -> Vec<String>;

#[test]
fn good_values_have_no_sentence() {
    let long = "a".repeat(63);
    let table: &[(Check, &[&str])] = &[
        (check_dns1123_label, &["a", "0", "my-name", "123-abc", "a--b", &long]),
        (check_dns1123_subdomain, &["a", "example.com", "1.2.3", "a-b.c-d"]),
        (check_dns1035_label, &["a", "abc-123"]),
        (check_wildcard_subdomain, &["*.example.com", "*.a"]),
        (check_qualified_name, &["a", "My.Name_1", "example.com/name", "kubernetes.io/hostname", &long]),
        (check_label_value, &["", "a", "v1.2_3-rc", "A", &long]),
        (check_port_name, &["http", "a", "http-2", "9p", "123456789012-ab"]),
        (check_env_var_name, &["A", "1", "a b", "my.env-name", "~"]),
        (check_strict_env_var_name, &["A", "_x", "my.env-name", "MyEnvName1"]),
        (check_config_map_key, &["a", "KEY_NAME", "tls.crt", ".hidden", "a..b"]),
        (check_path_segment, &["system:node", "a.b"]),
    ];
    for (check, values) in table {
        for value in *values {
            assert_eq!(check(value), Vec::<String>::new(), "{value:?}");
        }
    }
}

#[test]
fn bad_values_get_the_sentences_of_the_api_server() {
    let long = "a".repeat(64);
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let subdomain = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let dns1035 = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let key = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let name_key = format!("name part {key}");
    let prefix = format!("prefix part {subdomain}");
    let slashes = format!(
        "a valid label key {key} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    );
    let config = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let table: &[(Check, &str, &[&str])] = &[
        (check_dns1123_label, "", &[label]),
        (check_dns1123_label, "My", &[label]),
        (check_dns1123_label, "-a", &[label]),
        (check_dns1123_label, "a-", &[label]),
        (check_dns1123_label, "é", &[label]),
        (check_dns1123_label, "a.b", &["must not contain dots"]),
        (check_dns1123_label, &long, &["must be no more than 63 characters"]),
        (check_dns1123_subdomain, "A.b", &[subdomain]),
        (check_dns1123_subdomain, "a..b", &[subdomain]),
        (check_dns1123_subdomain, ".a", &[subdomain]),
        (check_dns1035_label, "1a", &[dns1035]),
        (check_qualified_name, "", &["name part must be non-empty", &name_key]),
        (check_qualified_name, "a b", &[&name_key]),
        (check_qualified_name, "/a", &["prefix part must be non-empty"]),
        (check_qualified_name, "A/a", &[&prefix]),
        (check_qualified_name, "a/b/c", &[&slashes]),
        (check_qualified_name, &long, &["name part must be no more than 63 characters"]),
        (check_label_value, "a b", &[value]),
        (check_label_value, "-", &[value]),
        (check_port_name, "a--b", &["must not contain consecutive hyphens"]),
        (check_port_name, "80", &["must contain at least one letter (a-z)"]),
        (check_port_name, "http-", &["must not begin or end with a hyphen"]),
        (
            check_port_name,
            "",
            &[
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)",
            ],
        ),
        (check_port_name, "abcdefghijklmnop", &["must be no more than 15 characters"]),
        (
            check_env_var_name,
            "a=b",
            &[
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ],
        ),
        (check_env_var_name, "", &["environment variable name must be non-empty"]),
        (check_config_map_key, "a/b", &[config]),
        (check_config_map_key, "..", &["must not be '..'"]),
        (check_config_map_key, ".", &["must not be '.'"]),
        (check_config_map_key, "..a", &["must not start with '..'"]),
        (check_path_segment, "..", &["may not be '..'"]),
        (check_path_segment, "a/b%", &["may not contain '/'", "may not contain '%'"]),
    ];
    for (check, input, want) in table {
        assert_eq!(check(input), *want, "{input:?}");
    }
}

#[test]
fn quick_answers_agree_with_the_sentences() {
    let inputs =
        ["", "a", "A", "a.b", "a/b", "a/b/c", "-a", "a-", "1", "a=b", "..", "*.a", "é", "a_b", "a b"];
    type Quick = fn(&str) -> bool;
    let pairs: &[(Quick, Check)] = &[
        (is_dns1123_label, check_dns1123_label),
        (is_dns1123_subdomain, check_dns1123_subdomain),
        (is_dns1035_label, check_dns1035_label),
        (is_wildcard_subdomain, check_wildcard_subdomain),
        (is_qualified_name, check_qualified_name),
        (is_label_value, check_label_value),
        (is_env_var_name, check_env_var_name),
    ];
    for (quick, check) in pairs {
        for input in inputs {
            assert_eq!(quick(input), check(input).is_empty(), "{input:?}");
        }
    }
}

#[test]
fn generate_name_may_end_in_a_dash() {
    assert!(is_dns1123_subdomain(&mask_generate_name("web-")));
    assert!(!is_dns1123_subdomain(&mask_generate_name("Web-")));
    assert_eq!(mask_generate_name("-"), "-");
    assert_eq!(mask_generate_name("é-"), "a");
}

//! Tests of the configuration: what is wrong with it is said where it stands.
#![allow(clippy::unwrap_used)]

use super::*;

/// A configuration as an installation's might be: the process' own sections, and one of a component.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Whole {
    api_version: String,
    kind: String,
    #[serde(default)]
    server: ServerSection,
    #[serde(default)]
    log: LogSection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chat: Option<Chat>,
}

#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Chat {
    token: SecretFrom,
}

impl Configuration for Whole {
    const WHAT: &'static str = "Server";
    const HEAD: &'static [(&'static str, &'static str)] =
        &[("apiVersion", "kiban.dev/v1"), ("kind", "Server")];

    fn check(&self) -> Vec<Complaint> {
        self.server.check()
    }
    fn replaces() -> Vec<Replaced> {
        [ServerSection::REPLACES, LogSection::REPLACES].concat()
    }
}

const GOOD: &str = "\
apiVersion: kiban.dev/v1
kind: Server
server:
  listen: 127.0.0.1:9999
  hosts: [kiban.example.com, \"*.lab.example\"]
  tls: { certificate: /etc/tls.crt, key: /etc/tls.key }
  tokens:
    - { name: ci, file: /etc/token, roles: [ingest] }
  enable: [admin]
  webhooks: { listen: \":9998\" }
  data: /var/lib/kiban
  threads: 4
  drain: 20s
log: { level: debug, format: json }
chat: { token: { file: /etc/slack } }
";

fn problems(text: &str, flags: &[Flag]) -> Vec<String> {
    match read::<Whole>(Some(("kiban.yaml", text.as_bytes())), flags) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_good_file_has_no_problems_and_keeps_its_values() {
    let loaded = read::<Whole>(Some(("kiban.yaml", GOOD.as_bytes())), &[]).unwrap();
    assert_eq!(loaded.value.server.threads, Some(4));
    assert_eq!(loaded.value.chat.unwrap().token, SecretFrom::file("/etc/slack"));
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    let mut wrong = Vec::new();
    // A line of the good file, what it becomes, what is said.
    for (old, new, said) in [
        (
            "server:",
            "sever:",
            &["kiban.yaml:3:1: unknown key \"sever\" in Server; did you mean \"server\"?"][..],
        ),
        (
            "  listen:",
            "  lisen:",
            &["kiban.yaml:4:3: unknown key \"lisen\" in server; did you mean \"listen\"?"],
        ),
        ("  hosts:", "  host:", &["kiban.yaml:5:3: unknown key \"host\" in server; did you mean \"hosts\"?"]),
        (
            "key: /etc/tls.key",
            "keys: /etc/tls.key",
            &["kiban.yaml:6:37: unknown key \"keys\" in server.tls; did you mean \"key\"?"],
        ),
        (", key: /etc/tls.key", "", &["kiban.yaml:6:8: missing key \"key\" in server.tls"]),
        (
            "certificate: /etc/tls.crt",
            "certificate: \"\"",
            &["kiban.yaml:6:23: server.tls.certificate: an empty path names nothing"],
        ),
        (
            "name: ci,",
            "nam: ci,",
            &["kiban.yaml:8:9: unknown key \"nam\" in server.tokens[0]; did you mean \"name\"?"],
        ),
        (
            "roles: [ingest]",
            "roles: [ingst]",
            &[
                "kiban.yaml:8:45: server.tokens[0].roles[0]: \"ingst\" is none of read, ingest, admin; did you mean \"ingest\"?",
            ],
        ),
        (
            "roles: [ingest]",
            "roles: []",
            &[
                "kiban.yaml:8:44: server.tokens[0].roles: without a role a token opens nothing: read, ingest, admin",
            ],
        ),
        (", roles: [ingest]", "", &["kiban.yaml:8:7: missing key \"roles\" in server.tokens[0]"]),
        (
            "name: ci",
            "name: \"\"",
            &["kiban.yaml:8:15: server.tokens[0].name: a token needs a name, for logs"],
        ),
        (
            "roles: [ingest] }",
            "roles: [ingest] }\n    - { name: ci, file: x, roles: [read] }",
            &["kiban.yaml:9:15: server.tokens[1].name: another token is called \"ci\" already"],
        ),
        (
            "enable: [admin]",
            "enable: [admn]",
            &[
                "kiban.yaml:9:12: server.enable[0]: \"admn\" is none of ingest, admin; did you mean \"admin\"?",
            ],
        ),
        (
            "enable: [admin]",
            "enable: admin",
            &["kiban.yaml:9:11: server.enable: expected a list, found text \"admin\""],
        ),
        (
            "127.0.0.1:9999",
            "127.0.0.1",
            &[
                "kiban.yaml:4:11: server.listen: \"127.0.0.1\" is no address with a port, such as 127.0.0.1:8480, [::1]:8480 or :8480",
            ],
        ),
        (
            "127.0.0.1:9999",
            "example.com:80",
            &[
                "kiban.yaml:4:11: server.listen: \"example.com:80\" is no address with a port, such as 127.0.0.1:8480, [::1]:8480 or :8480",
            ],
        ),
        (
            "127.0.0.1:9999",
            "9999",
            &[
                "kiban.yaml:4:11: server.listen: \"9999\" is no address with a port, such as 127.0.0.1:8480, [::1]:8480 or :8480",
            ],
        ),
        (
            "127.0.0.1:9999",
            "0.0.0.0:9998",
            &[
                "kiban.yaml:10:23: server.webhooks.listen: is server.listen too; webhooks have a port of their own",
            ],
        ),
        (
            "[kiban.example.com,",
            "[\"https://kiban.example.com\",",
            &[
                "kiban.yaml:5:11: server.hosts[0]: \"https://kiban.example.com\" is no host name; one has no scheme and no port: kiban.example.com",
            ],
        ),
        (
            "[kiban.example.com,",
            "[\"kiban.example.com:80\",",
            &[
                "kiban.yaml:5:11: server.hosts[0]: \"kiban.example.com:80\" is no host name; one has no scheme and no port: kiban.example.com",
            ],
        ),
        ("threads: 4", "threads: 0", &["kiban.yaml:12:12: server.threads: 1 to 1024 threads are possible"]),
        (
            "threads: 4",
            "threads: many",
            &[
                "kiban.yaml:12:12: server.threads: expected a whole number from 0 to 65535, found text \"many\"",
            ],
        ),
        (
            "threads: 4",
            "threads: 70000",
            &[
                "kiban.yaml:12:12: server.threads: expected a whole number from 0 to 65535, found number 70000",
            ],
        ),
        (
            "drain: 20s",
            "drain: 20",
            &["kiban.yaml:13:10: server.drain: \"20\" needs a unit, such as 20s or 20ms"],
        ),
        ("drain: 20s", "drain: 2d", &["kiban.yaml:13:10: server.drain: 2d is longer than an hour"]),
        (
            "data: /var/lib/kiban",
            "data: [x]",
            &["kiban.yaml:11:9: server.data: expected a text, found a list"],
        ),
        (
            "webhooks: { listen: \":9998\" }",
            "webhooks: { hosts: [] }",
            &["kiban.yaml:10:13: missing key \"listen\" in server.webhooks"],
        ),
        (
            "level: debug",
            "level: dbg",
            &[
                "kiban.yaml:14:15: log.level: \"dbg\" is none of error, warn, info, debug, trace; did you mean \"debug\"?",
            ],
        ),
        (
            "level: debug",
            "levle: debug",
            &["kiban.yaml:14:8: unknown key \"levle\" in log; did you mean \"level\"?"],
        ),
        (
            "format: json",
            "format: jsno",
            &["kiban.yaml:14:30: log.format: \"jsno\" is none of auto, human, json; did you mean \"json\"?"],
        ),
        (
            "log: { level: debug, format: json }",
            "log: debug",
            &["kiban.yaml:14:6: log: expected a map of keys and values, found text \"debug\""],
        ),
        (
            "{ file: /etc/slack }",
            "xoxb-hunter2",
            &[
                "kiban.yaml:15:16: chat.token: a secret does not stand in a configuration; it comes from { file: PATH } or { env: NAME }",
            ],
        ),
        (
            "{ file: /etc/slack }",
            "{ file: a, env: B }",
            &["kiban.yaml:15:16: chat.token: a secret comes from one place: { file: PATH } or { env: NAME }"],
        ),
        (
            "{ file: /etc/slack }",
            "{ fil: a }",
            &["kiban.yaml:15:18: unknown key \"fil\" in chat.token; did you mean \"file\"?"],
        ),
        (
            "kind: Server",
            "kind: Server\nkind: Server",
            &["kiban.yaml:3:1: key \"kind\" is given twice; first in line 2"],
        ),
        ("kind: Server\n", "", &["kiban.yaml:1:1: missing key \"kind\" in Server"]),
        (
            "kind: Server\n",
            "kind: Server\n---\n",
            &["kiban.yaml:4:1: a second document begins here; one is expected"],
        ),
        // Several at once.
        (
            "  threads: 4\n  drain: 20s",
            "  thread: 4\n  drain: soon",
            &[
                "kiban.yaml:12:3: unknown key \"thread\" in server; did you mean \"threads\"?",
                "kiban.yaml:13:10: server.drain: \"soon\" is no duration such as 800ms, 60s or 1h30m",
            ],
        ),
    ] {
        assert!(GOOD.contains(old), "{old}");
        let text = GOOD.replacen(old, new, 1).replace("0.0.0.0:9998", ":9998");
        let got = problems(&text, &[]);
        if got != said {
            wrong.push(format!("{new}\n  got      {got:?}\n  expected {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_secret_that_stands_in_the_file_is_not_repeated() {
    let text = GOOD.replace("{ file: /etc/slack }", "xoxb-hunter2");
    let error = read::<Whole>(Some(("kiban.yaml", text.as_bytes())), &[]).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn flags_are_laid_over_the_file_and_named_in_what_they_break() {
    let flags = [
        Flag::one("--listen", &["server", "listen"], ":1"),
        Flag::list("--enable", &["server", "enable"], vec!["ingest".into()]),
        Flag::one("--threads", &["server", "threads"], "8"),
    ];
    let loaded = read::<Whole>(Some(("kiban.yaml", GOOD.as_bytes())), &flags).unwrap();
    assert_eq!(loaded.value.server.listen, Address::new("0.0.0.0:1").unwrap());
    assert_eq!((loaded.value.server.enable, loaded.value.server.threads), (vec![ClassName::Ingest], Some(8)));
    let bare = read::<Whole>(None, &flags[..1]).unwrap();
    assert_eq!(
        bare.value.server,
        ServerSection { listen: Address::new(":1").unwrap(), ..Default::default() }
    );

    let bad = [
        Flag::one("--listen", &["server", "listen"], "nowhere"),
        Flag::list("--enable", &["server", "enable"], vec!["evrything".into()]),
    ];
    let error = read::<Whole>(Some(("kiban.yaml", GOOD.as_bytes())), &bad).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--enable: server.enable[0]: \"evrything\" is none of ingest, admin\n\
         --listen: server.listen: \"nowhere\" is no address with a port, such as 127.0.0.1:8480, [::1]:8480 or :8480"
    );
    let odd = "apiVersion: kiban.dev/v1\nkind: Server\nserver: 7\n";
    assert_eq!(problems(odd, &flags), ["kiban.yaml:3:9: expected a map of keys and values"]);
}

#[test]
fn what_is_in_effect_says_where_it_comes_from_and_what_it_replaces() {
    let flags = [Flag::one("--listen", &["server", "listen"], ":1")];
    let loaded = read::<Whole>(Some(("kiban.yaml", GOOD.as_bytes())), &flags).unwrap();
    let rows = loaded.effective();
    for (path, value, from, replaces) in [
        ("server.listen", "\"0.0.0.0:1\"", "--listen", Some("prometheus --web.listen-address")),
        ("server.hosts[1]", "\"*.lab.example\"", "kiban.yaml:5", Some("prometheus --web.external-url")),
        ("server.tokens[0].name", "\"ci\"", "kiban.yaml:8", Some("web.config.file basic_auth_users")),
        ("server.webhooks.hosts", "[]", "default", None),
        ("server.drain", "\"20s\"", "kiban.yaml:13", None),
        ("log.level", "\"debug\"", "kiban.yaml:14", Some("prometheus --log.level")),
        ("chat.token.file", "\"/etc/slack\"", "kiban.yaml:15", None),
    ] {
        let row = rows.iter().find(|row| row.path == path).unwrap_or_else(|| panic!("{path}: {rows:#?}"));
        assert_eq!((row.value.as_str(), row.from.as_str()), (value, from), "{path}");
        assert_eq!(row.replaces.first().map(String::as_str), replaces, "{path}");
    }
    let bare = read::<Whole>(None, &[]).unwrap().effective();
    assert!(bare.iter().all(|row| row.from == "default" || row.from.starts_with("default:")), "{bare:#?}");
}

#[test]
fn the_process_sections_schema_takes_the_good_file() {
    let schema: Value = serde_json::from_str(&schema::<Whole>()).unwrap();
    let value = parse_one("kiban.yaml", GOOD.as_bytes(), Layer::App).unwrap().to_json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let typo = GOOD.replace("lisen", "listen").replace("threads:", "thraeds:");
    let value = parse_one("kiban.yaml", typo.as_bytes(), Layer::App).unwrap().to_json();
    assert!(!validator.is_valid(&value));
}

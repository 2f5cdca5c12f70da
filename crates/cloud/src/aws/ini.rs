//! The files `~/.aws/config` and `~/.aws/credentials`: sections of `key = value`.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files".

use std::collections::BTreeMap;

/// The longest file that is read, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// Profiles by name, each with its values by key.
pub type Profiles = BTreeMap<String, BTreeMap<String, String>>;

/// Reads a file. In `config` a profile's section is called `profile x` (but for `default`), in `credentials` `x`;
/// both are taken in both. Nested values (lines that are indented) and other sections are left out.
pub fn profiles(text: &str) -> Profiles {
    let mut profiles = Profiles::new();
    let mut section: Option<String> = None;
    for line in text.lines() {
        if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let name = rest.split(']').next().unwrap_or_default().trim();
            section = match name.split_once(char::is_whitespace) {
                None => Some(name.to_owned()),
                Some(("profile", name)) => Some(name.trim().to_owned()),
                // sso-session, services: no profiles.
                Some(_) => None,
            };
            continue;
        }
        let (Some(name), Some((key, value))) = (&section, line.split_once('=')) else { continue };
        // A comment begins behind a space.
        let value =
            [" #", " ;", "\t#", "\t;"].iter().fold(value, |v, mark| v.split(mark).next().unwrap_or(v));
        profiles
            .entry(name.clone())
            .or_default()
            .insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    profiles
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn profiles_of_both_files_are_read() {
        let text = "# mine\n[default]\nregion=eu-central-1\n\n[profile ci]\naws_access_key_id = AKID ; old\nAWS_SECRET_ACCESS_KEY = a=b#c\ns3 =\n  max = 1\n[sso-session x]\nregion = nowhere\n[plain]\nregion = r\nno value\n[";
        let profiles = profiles(text);
        assert_eq!(profiles["default"]["region"], "eu-central-1");
        assert_eq!(profiles["ci"]["aws_access_key_id"], "AKID");
        assert_eq!(profiles["ci"]["aws_secret_access_key"], "a=b#c");
        assert!(!profiles["ci"].contains_key("max"));
        assert_eq!(profiles["plain"].len(), 1);
        assert_eq!(profiles.len(), 3);
    }
}
